"""The schedule against diffusers' own DDIMScheduler."""

import math

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)

from doodl.sampling.schedule import FlowSchedule, Schedule
from schedules import SD


def both(**changes):
    """Return diffusers' scheduler in double precision, and ours from its config."""
    theirs = DDIMScheduler.from_config({**SD, **changes})
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    theirs.final_alpha_cumprod = theirs.final_alpha_cumprod.double()
    return theirs, Schedule.from_config(theirs.config)


def predictions(num_steps):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_steps + 1, 50, generator=generator, dtype=torch.float64)


def their_chain(scheduler, num_steps):
    scheduler.set_timesteps(num_steps)
    z, *outputs = predictions(num_steps)
    for t, output in zip(scheduler.timesteps, outputs, strict=True):
        z = scheduler.step(output, t, z).prev_sample
    return z


def our_chain(schedule, num_steps):
    z, *outputs = predictions(num_steps)
    for step, output in zip(schedule.steps(num_steps), outputs, strict=True):
        z = step.a * z + step.b * output
    return z


@pytest.mark.parametrize(
    ("spacing", "offset"),
    [("leading", 0), ("leading", 1), ("trailing", 0), ("linspace", 0)],
)
def test_timesteps_are_those_of_diffusers_for_any_number_of_steps(spacing, offset):
    theirs, ours = both(timestep_spacing=spacing, steps_offset=offset)
    for num_steps in range(1, 1000):
        theirs.set_timesteps(num_steps)
        # For some T numpy.arange gives diffusers T + 1 trailing steps, the last at -1.
        expected = theirs.timesteps.tolist()[:num_steps]
        assert ours.timesteps(num_steps) == expected


@pytest.mark.parametrize(
    ("spacing", "offset"),
    [("leading", 0), ("leading", 1), ("trailing", 0), ("linspace", 0)],
)
def test_every_number_of_steps_gives_that_many_known_falling_timesteps(spacing, offset):
    _, ours = both(timestep_spacing=spacing, steps_offset=offset)
    for num_steps in range(1, 1000):
        timesteps = ours.timesteps(num_steps)
        assert len(timesteps) == num_steps
        assert 0 <= timesteps[-1] <= timesteps[0] < 1000
        assert all(t > s for t, s in zip(timesteps, timesteps[1:], strict=False))


def test_an_offset_that_passes_the_noisiest_timestep_stops_there():
    _, ours = both(steps_offset=1)
    first, second, *_ = ours.steps(1000)
    assert (first.t, second.t) == (999, 999)
    assert (first.a, first.b) == (1, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"trained_betas": [0.1, 0.2, 0.3]},
        {"num_train_timesteps": 10},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    ],
)
def test_alphas_are_those_of_diffusers_bit_for_bit(changes):
    theirs, ours = both(**changes)
    assert torch.equal(ours.alphas_cumprod, theirs.alphas_cumprod)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("offset", "to_one"), [(0, True), (0, False), (1, False)])
@pytest.mark.parametrize("num_steps", [1, 7, 20, 50, 300, 999])
def test_a_leading_chain_is_that_of_diffusers(prediction, to_one, offset, num_steps):
    theirs, ours = both(
        prediction_type=prediction, set_alpha_to_one=to_one, steps_offset=offset
    )
    expected = their_chain(theirs, num_steps)
    assert torch.allclose(our_chain(ours, num_steps), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("num_steps", [1, 8, 20, 50, 500, 1000])
def test_a_trailing_chain_that_divides_is_that_of_diffusers(prediction, num_steps):
    theirs, ours = both(timestep_spacing="trailing", prediction_type=prediction)
    expected = their_chain(theirs, num_steps)
    assert torch.allclose(our_chain(ours, num_steps), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("num_steps", [1, 4, 25, 50])
def test_a_zero_terminal_chain_is_that_of_diffusers_and_finite(num_steps):
    theirs, ours = both(
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )
    assert ours.steps(num_steps)[0].alpha_t == 0
    expected = their_chain(theirs, num_steps)
    assert expected.isfinite().all()
    assert torch.allclose(our_chain(ours, num_steps), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("spacing", "num_steps"), [("trailing", 7), ("linspace", 7), ("linspace", 50)]
)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_every_other_chain_is_ddim_between_neighbours(spacing, num_steps, prediction):
    theirs, ours = both(timestep_spacing=spacing, prediction_type=prediction)
    z, f = predictions(1)
    steps = ours.steps(num_steps)
    ends = [*(step.t for step in steps[1:]), 0]
    for step, s in zip(steps, ends, strict=True):
        square_t, square_s = theirs.alphas_cumprod[step.t], theirs.alphas_cumprod[s]
        alpha, sigma = square_t.sqrt(), (1 - square_t).sqrt()
        if prediction == "epsilon":
            clean, noise = (z - sigma * f) / alpha, f
        else:
            clean, noise = alpha * z - sigma * f, alpha * f + sigma * z
        expected = square_s.sqrt() * clean + (1 - square_s).sqrt() * noise
        assert torch.allclose(step.a * z + step.b * f, expected, rtol=1e-10, atol=1e-10)


def test_each_step_begins_where_the_last_one_ended():
    _, ours = both()
    steps = ours.steps(13)
    for before, after in zip(steps, steps[1:], strict=False):
        assert (before.alpha_s, before.sigma_s) == (after.alpha_t, after.sigma_t)
    for step in steps:
        assert math.isclose(step.alpha_t**2 + step.sigma_t**2, 1, rel_tol=1e-15)


@pytest.mark.parametrize(
    ("to_one", "last"), [(True, 1.0), (False, math.sqrt(1 - 0.00085))]
)
def test_the_last_step_ends_at_one_or_at_the_first_alpha(to_one, last):
    _, ours = both(set_alpha_to_one=to_one)
    assert math.isclose(ours.steps(5)[-1].alpha_s, last, rel_tol=1e-7)


def test_a_step_to_its_own_level_changes_nothing():
    for prediction in ("epsilon", "v_prediction"):
        _, ours = both(steps_offset=0, prediction_type=prediction)
        last = ours.steps(50)[-1]
        assert (last.t, last.a, last.b) == (0, 1, 0)


def test_a_pndm_pipeline_gets_the_ddim_chain():
    config = {key: SD[key] for key in SD if key != "clip_sample"}
    shipped = PNDMScheduler(**config, skip_prk_steps=True)
    theirs = DDIMScheduler.from_config(shipped.config, clip_sample=False)
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    theirs.final_alpha_cumprod = theirs.final_alpha_cumprod.double()
    ours = Schedule.from_config(shipped.config)
    assert torch.allclose(our_chain(ours, 50), their_chain(theirs, 50), rtol=1e-10)


def test_what_a_configuration_leaves_out_is_what_diffusers_assumes():
    theirs = DDIMScheduler(clip_sample=False)
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    theirs.final_alpha_cumprod = theirs.final_alpha_cumprod.double()
    ours = Schedule.from_config({})
    assert torch.allclose(our_chain(ours, 20), their_chain(theirs, 20), rtol=1e-10)


def test_noise_cannot_be_predicted_where_there_is_no_signal():
    config = {**SD, "rescale_betas_zero_snr": True}
    with pytest.raises(ValueError, match="zero terminal SNR.*v_prediction"):
        Schedule.from_config(config)


@pytest.mark.parametrize("num_steps", [-1, 0, 1001])
def test_a_number_of_steps_outside_the_timesteps_is_refused(num_steps):
    with pytest.raises(ValueError, match=f"between 1 and 1000, received {num_steps}"):
        Schedule.from_config(SD).steps(num_steps)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction_type": "sample"}, "epsilon or v_prediction, received 'sample'"),
        ({"timestep_spacing": "karras"}, "leading, trailing or .*received 'karras'"),
        ({"beta_schedule": "sigmoid"}, "beta_schedule .*received 'sigmoid'"),
    ],
)
def test_what_the_schedule_does_not_know_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        Schedule.from_config({**SD, **changes})


@pytest.mark.parametrize("num_steps", [1, 5, 28])
@pytest.mark.parametrize(
    ("settings", "asked"),
    [({"shift": 3.0}, {}), ({"use_dynamic_shifting": True}, {"mu": 0.8})],
)
def test_a_flow_is_that_of_diffusers_euler_scheduler(num_steps, settings, asked):
    scheduler = FlowMatchEulerDiscreteScheduler(**settings)

    def sigmas(count):
        scheduler.set_timesteps(count, **asked)
        return scheduler.sigmas.double().tolist()

    steps = FlowSchedule(sigmas).steps(num_steps)
    generator = torch.Generator().manual_seed(0)
    mine = theirs = torch.randn(3, generator=generator)
    for step, timestep in zip(steps, scheduler.timesteps, strict=True):
        velocity = torch.randn(3, generator=generator)
        assert step.t == pytest.approx(timestep.item(), rel=1e-6)
        mine = step.a * mine.double() + step.b * velocity
        theirs = scheduler.step(velocity, timestep, theirs).prev_sample
        torch.testing.assert_close(mine, theirs.double(), rtol=1e-5, atol=1e-6)
