"""The coupled chain: its order, its inverse, its transpose."""

import pytest
import torch
from diffusers import DDIMScheduler

from doodl.sampling.chain import run, unrun
from doodl.sampling.edict import EDICT, Coupling, Mixing
from doodl.sampling.schedule import Schedule
from schedules import SD

W = torch.randn((4, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def network(z, t):
    return torch.tanh(torch.einsum("ij,bjhw->bihw", W, z) + t / 1000)


def constant(z, t):
    return torch.linspace(-1, 1, z[0].numel(), dtype=z.dtype).view(z[0].shape) + 0 * z


def steps_of(num_steps, **changes):
    return Schedule.from_config({**SD, **changes}).steps(num_steps)


@pytest.fixture
def pair(generator):
    shape = (2, 4, 3, 3)
    return tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2)
    )


MOVES = [
    Coupling(0, 1.03, -0.2, 7),
    Coupling(1, 1.03, -0.2, 7),
    Mixing(0.93),
    Mixing(0.5),
]


@pytest.mark.parametrize("move", MOVES)
def test_unstep_undoes_step(move, pair, generator):
    f = torch.randn(pair[0].shape, generator=generator, dtype=torch.float64)
    back = move.unstep(move.step(pair, f), f)
    assert all(
        torch.allclose(z, w, rtol=1e-13) for z, w in zip(back, pair, strict=True)
    )


@pytest.mark.parametrize("move", MOVES)
def test_pullback_is_the_transpose_of_step(move, pair, generator):
    f, *grads = torch.randn((3, *pair[0].shape), generator=generator).double()
    stepped = move.step(pair, f)
    back, grad_f = move.pullback(tuple(grads))
    there = sum((z * g).sum() for z, g in zip(stepped, grads, strict=True))
    here = sum((z * g).sum() for z, g in zip(pair, back, strict=True))
    if grad_f is not None:
        here = here + (f * grad_f).sum()
    assert torch.allclose(there, here, rtol=1e-12)


@pytest.mark.parametrize("move", MOVES)
def test_a_move_keeps_the_latent_that_the_network_is_asked_at(move, pair):
    if move.source is None:
        assert move.timestep is None
    else:
        stepped = move.step(pair, torch.ones_like(pair[0]))
        assert stepped[move.source] is pair[move.source]
        assert not torch.equal(stepped[move.target], pair[move.target])


def forward_by_hand(steps, start, p, x, y):
    """METHOD's formulas: the roles swap on odd indices of the full schedule."""
    for i in range(start, len(steps)):
        a, b, t = steps[i].a, steps[i].b, steps[i].t
        if i in (1, 3, 5, 7):
            y = a * y + b * network(x, t)
            x = a * x + b * network(y, t)
        else:
            x = a * x + b * network(y, t)
            y = a * y + b * network(x, t)
        x = p * x + (1 - p) * y
        y = p * y + (1 - p) * x
    return x, y


def backward_by_hand(steps, start, p, x, y):
    for i in reversed(range(start, len(steps))):
        a, b, t = steps[i].a, steps[i].b, steps[i].t
        y = (y - (1 - p) * x) / p
        x = (x - (1 - p) * y) / p
        if i in (1, 3, 5, 7):
            x = (x - b * network(y, t)) / a
            y = (y - b * network(x, t)) / a
        else:
            y = (y - b * network(x, t)) / a
            x = (x - b * network(y, t)) / a
    return x, y


CHAINS = [(8, 0), (7, 0), (8, 3), (7, 3), (8, 4), (7, 4), (7, 6), (1, 0)]


@pytest.mark.parametrize(("num_steps", "start"), CHAINS)
def test_the_leapfrog_follows_the_index_in_the_full_schedule(num_steps, start, pair):
    steps = steps_of(num_steps)
    moves = EDICT(0.8).moves(steps, start=start)
    expected = forward_by_hand(steps, start, 0.8, *pair)
    for z, w in zip(run(moves, network, pair), expected, strict=True):
        assert torch.allclose(z, w, rtol=1e-12)
    expected = backward_by_hand(steps, start, 0.8, *pair)
    for z, w in zip(unrun(moves, network, pair), expected, strict=True):
        assert torch.allclose(z, w, rtol=1e-9)


@pytest.mark.parametrize(("num_steps", "start"), CHAINS)
def test_running_and_unrunning_are_inverse_both_ways(num_steps, start, pair):
    moves = EDICT().moves(steps_of(num_steps), start=start)
    there = unrun(moves, network, run(moves, network, pair))
    back = run(moves, network, unrun(moves, network, pair))
    for z, w, original in zip(there, back, pair, strict=True):
        assert torch.allclose(z, original, atol=1e-10)
        assert torch.allclose(w, original, atol=1e-10)


@pytest.mark.parametrize("num_steps", [1, 7, 50])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_without_dependence_on_the_latent_edict_is_ddim(prediction, num_steps, pair):
    config = {**SD, "prediction_type": prediction}
    theirs = DDIMScheduler.from_config(config)
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    theirs.final_alpha_cumprod = theirs.final_alpha_cumprod.double()
    theirs.set_timesteps(num_steps)
    expected = pair[0]
    for t in theirs.timesteps:
        expected = theirs.step(constant(expected, t), t, expected).prev_sample
    moves = EDICT().moves(Schedule.from_config(config).steps(num_steps))
    for z in run(moves, constant, (pair[0], pair[0])):
        assert torch.allclose(z, expected, rtol=1e-10, atol=1e-10)


def test_equal_latents_follow_ddim_more_closely_the_smaller_the_steps(pair):
    def distance(num_steps):
        steps = steps_of(num_steps, set_alpha_to_one=True)
        single = pair[0]
        for step in steps:
            single = step.a * single + step.b * network(single, step.t)
        x, _ = run(EDICT(0.8).moves(steps), network, (pair[0], pair[0]))
        return (x - single).abs().max()

    assert distance(800) < distance(200) / 3


def test_a_step_that_changes_nothing_asks_no_network():
    steps = steps_of(10, steps_offset=0)
    moves = EDICT().moves(steps)
    assert steps[-1].t == 0
    assert sum(move.source is not None for move in moves) == 2 * 9
    assert sum(move.source is None for move in moves) == 10


def test_left_out_couplings_do_not_change_the_order_or_the_image(pair):
    steps = steps_of(8, steps_offset=0)
    for start in (0, 3):
        z = run(EDICT(0.8).moves(steps, start=start), network, pair)
        expected = forward_by_hand(steps, start, 0.8, *pair)
        assert torch.allclose(torch.stack(z), torch.stack(expected), rtol=1e-12)


@pytest.mark.parametrize(("p", "num_steps"), [(0.93, 50), (0.75, 20)])
def test_the_inverse_amplifies_a_difference_by_p_to_the_minus_2t(p, num_steps):
    x, y = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for _ in range(num_steps):
        x, y = Mixing(p).unstep((x, y))
    assert (y - x).abs().item() == pytest.approx(p ** (-2 * num_steps), rel=1e-8)


def test_mixing_of_one_leaves_the_pair_alone(pair):
    assert all(
        torch.equal(z, w) for z, w in zip(Mixing(1.0).step(pair), pair, strict=True)
    )


@pytest.mark.parametrize("mixing", [0.0, -0.5, 1.01, float("nan")])
def test_a_mixing_that_cannot_be_undone_is_refused(mixing):
    with pytest.raises(ValueError, match=r"a mixing in \(0, 1\], received"):
        EDICT(mixing)
