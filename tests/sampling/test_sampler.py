"""The sampler: schedule, guidance, method and adjoint put together."""

import pytest
import torch
from diffusers import DDIMScheduler

from doodl.sampling.adjoints import (
    CheckpointAdjoint,
    DirectAdjoint,
    ReversibleAdjoint,
)
from doodl.sampling.denoiser import Conditioning, GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.sampler import Sampler
from doodl.sampling.schedule import Schedule
from schedules import SD

W = torch.randn((3, 3), generator=torch.Generator().manual_seed(3), dtype=torch.float64)


class Network:
    def __init__(self):
        self.batches = []

    def __call__(self, z, timesteps, *, text):
        self.batches.append(len(z))
        told = (text + timesteps[:, None] / 1000)[:, :, None, None]
        return torch.tanh(torch.einsum("ij,bjhw->bihw", W, z) + told)


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def conditioning(generator):
    texts = torch.randn((2, 2, 3), generator=generator, dtype=torch.float64)
    return Conditioning({"text": texts[0]}, {"text": texts[1]})


@pytest.fixture
def latents(generator):
    return torch.randn((2, 2, 3, 4, 4), generator=generator, dtype=torch.float64)


def sampler(network, num_steps=10, w=3.0, adjoint=None, mixing=0.9):
    schedule = Schedule.from_config(SD)
    denoiser = GuidedDenoiser(network, w)
    return Sampler(schedule, denoiser, EDICT(mixing), adjoint, num_steps=num_steps)


def gradient(sampler, latents, conditioning, start=0):
    latents = latents.clone().requires_grad_()
    sampler.sample(latents, conditioning, start=start).sin().sum().backward()
    return latents.grad


@pytest.mark.parametrize(("num_steps", "start"), [(10, 0), (9, 0), (10, 3), (9, 8)])
def test_inverting_undoes_sampling_and_sampling_undoes_inverting(
    num_steps, start, network, latents, conditioning
):
    chain = sampler(network, num_steps)
    image = chain.sample(latents, conditioning, start=start)
    noise = chain.invert(latents, conditioning, start=start)
    back = chain.invert(image, conditioning, start=start)
    again = chain.sample(noise, conditioning, start=start)
    assert torch.allclose(back, latents, atol=1e-9)
    assert torch.allclose(again, latents, atol=1e-9)
    assert not torch.allclose(image, latents, atol=1e-2)


def test_a_chain_is_its_head_followed_by_its_tail(network, latents, conditioning):
    chain = sampler(network, 9)
    whole = chain.invert(latents, conditioning)
    tail = chain.invert(latents, conditioning, start=4)
    denoised = chain.sample(tail, conditioning, start=4)
    assert torch.allclose(denoised, latents, atol=1e-10)
    # What undoing the tail leaves is where the head of the whole chain arrives.
    head = Sampler(Schedule.from_config(SD), chain.denoiser, chain.method, num_steps=9)
    head.steps = head.steps[:4]
    assert torch.allclose(head.sample(whole, conditioning), tail, atol=1e-9)


@pytest.mark.parametrize("adjoint", [CheckpointAdjoint(), ReversibleAdjoint()])
@pytest.mark.parametrize(("num_steps", "start"), [(10, 0), (9, 4)])
def test_the_guided_gradient_is_the_direct_one(
    adjoint, num_steps, start, network, latents, conditioning
):
    direct = sampler(network, num_steps, adjoint=DirectAdjoint())
    other = sampler(network, num_steps, adjoint=adjoint)
    expected = gradient(direct, latents, conditioning, start)
    found = gradient(other, latents, conditioning, start)
    assert torch.allclose(found, expected, rtol=1e-8, atol=1e-9)


def test_the_gradient_is_that_of_finite_differences(network, latents, conditioning):
    chain = sampler(network, 5)
    direction = torch.sin(torch.arange(latents.numel())).view(latents.shape).double()
    h = 1e-5
    ahead = chain.sample(latents + h * direction, conditioning).sin().sum()
    behind = chain.sample(latents - h * direction, conditioning).sin().sum()
    slope = (gradient(chain, latents, conditioning) * direction).sum()
    assert torch.allclose((ahead - behind) / (2 * h), slope, rtol=1e-7)


@pytest.mark.parametrize(("w", "batch"), [(3.0, 4), (1.0, 2)])
@pytest.mark.parametrize(
    ("adjoint", "calls"),
    [(DirectAdjoint(), 20), (CheckpointAdjoint(), 40), (ReversibleAdjoint(), 40)],
)
def test_an_update_costs_2t_guided_calls_and_2t_more_to_recompute(
    w, batch, adjoint, calls, network, latents, conditioning
):
    gradient(sampler(network, 10, w, adjoint), latents, conditioning)
    assert network.batches == [batch] * calls


def test_scale_one_is_the_conditional_model(network, latents, conditioning):
    alone = Conditioning(conditioning.positive)
    one = sampler(network, w=1.0).sample(latents, conditioning)
    assert torch.equal(one, sampler(network).sample(latents, alone))


def test_generations_do_not_mix(network, latents, conditioning):
    chain = sampler(network)
    together = chain.sample(latents, conditioning)
    second = Conditioning(
        {"text": conditioning.positive["text"][1:]},
        {"text": conditioning.negative["text"][1:]},
    )
    alone = chain.sample(latents[:, 1:], second)
    assert torch.allclose(together[:, 1:], alone, rtol=1e-12)


@pytest.mark.parametrize("num_steps", [7, 50])
def test_with_a_constant_prediction_the_image_is_that_of_diffusers(
    num_steps, latents, conditioning
):
    def constant(z, timesteps, *, text):
        return text[:, :, None, None].expand_as(z)

    z = latents[:1].expand_as(latents)
    found = sampler(constant, num_steps).sample(z, conditioning)
    positive, negative = conditioning.positive["text"], conditioning.negative["text"]
    noise = (negative + 3.0 * (positive - negative))[:, :, None, None]
    theirs = DDIMScheduler.from_config(SD)
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    theirs.final_alpha_cumprod = theirs.final_alpha_cumprod.double()
    theirs.set_timesteps(num_steps)
    expected = latents[0]
    for t in theirs.timesteps:
        expected = theirs.step(noise.expand_as(expected), t, expected).prev_sample
    assert torch.allclose(found, expected.expand_as(found), rtol=1e-10, atol=1e-10)


def test_inverting_makes_no_graph(network, latents, conditioning):
    noise = sampler(network).invert(latents.requires_grad_(), conditioning)
    assert not noise.requires_grad


def test_without_choices_the_sampler_is_the_papers(network):
    chain = Sampler(Schedule.from_config(SD), GuidedDenoiser(network))
    assert len(chain.steps) == 50
    assert chain.method.mixing == 0.93
    assert chain.denoiser.guidance_scale == 7.5
    assert isinstance(chain.adjoint, ReversibleAdjoint)


@pytest.mark.parametrize("start", [-1, 10, 11])
@pytest.mark.parametrize("verb", ["sample", "invert"])
def test_a_start_outside_the_chain_is_refused(
    verb, start, network, latents, conditioning
):
    chain = sampler(network, 10)
    with pytest.raises(ValueError, match=f"start between 0 and 9.*received {start}"):
        getattr(chain, verb)(latents, conditioning, start=start)


def test_a_guidance_interval_costs_half_the_batch_outside_of_it(
    network, latents, conditioning
):
    chain = sampler(network, 10)
    chain.denoiser.interval = (300, 700)
    inside = [300 <= step.t <= 700 for step in chain.steps]
    chain.sample(latents, conditioning)
    assert network.batches == [4 if guided else 2 for guided in inside for _ in "xy"]
    assert 0 < sum(inside) < 10


@pytest.mark.parametrize("adjoint", [CheckpointAdjoint(), ReversibleAdjoint()])
def test_a_guidance_interval_keeps_the_direct_gradient(
    adjoint, network, latents, conditioning
):
    chains = [sampler(network, 10, adjoint=a) for a in (adjoint, DirectAdjoint())]
    for chain in chains:
        chain.denoiser.interval = (300, 700)
    found, expected = (gradient(chain, latents, conditioning) for chain in chains)
    assert torch.allclose(found, expected, rtol=1e-8, atol=1e-9)


def test_what_an_adjoint_measures_is_no_call_of_the_chain(
    network, latents, conditioning
):
    class Measuring(DirectAdjoint):
        def prepare(self, moves, predict, state):
            predict(state[0], moves[0].timestep or 0.0)

    made = sampler(network, 10, adjoint=Measuring())
    made.sample(latents, conditioning)
    assert len(network.batches) == 21
    assert made.denoiser.calls == (20, 0)
