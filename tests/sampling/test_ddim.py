"""DDIM on a single latent: diffusers' own chain, with gradients."""

import pytest
import torch
from diffusers import DDIMScheduler

from doodl.sampling.adjoints import CheckpointAdjoint, DirectAdjoint
from doodl.sampling.ddim import DDIM
from doodl.sampling.denoiser import Conditioning, GuidedDenoiser
from doodl.sampling.sampler import Sampler
from doodl.sampling.schedule import Schedule
from schedules import SD

NOTHING = Conditioning({})


def network(z, timesteps):
    return torch.tanh(1.3 * z.roll(1, -1) + timesteps[:, None, None, None] / 1000)


def sampler(adjoint=None, num_steps=12):
    return Sampler(
        Schedule.from_config(SD),
        GuidedDenoiser(network, 1.0),
        DDIM(),
        adjoint,
        num_steps=num_steps,
    )


@pytest.fixture
def latents(generator):
    return torch.randn((1, 2, 3, 4, 4), generator=generator, dtype=torch.float64)


def test_the_chain_is_that_of_diffusers(latents):
    scheduler = DDIMScheduler(**SD)
    scheduler.set_timesteps(12)
    z = latents[0]
    for t in scheduler.timesteps:
        z = scheduler.step(network(z, t.expand(2)), t, z).prev_sample
    torch.testing.assert_close(
        sampler().sample(latents, NOTHING)[0], z, rtol=0, atol=1e-6
    )


def test_the_checkpoint_gradient_equals_the_direct_gradient(latents):
    gradients = []
    for adjoint in (DirectAdjoint(), CheckpointAdjoint()):
        z = latents.clone().requires_grad_()
        sampler(adjoint).sample(z, NOTHING).sin().sum().backward()
        gradients.append(z.grad)
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_it_cannot_be_inverted(latents):
    with pytest.raises(NotImplementedError, match="use EDICT"):
        sampler().invert(latents, NOTHING)
