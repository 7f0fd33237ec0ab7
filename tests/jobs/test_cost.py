"""What one gradient costs, counted in FLOPs and in waits for the device."""

from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from doodl import latents as pairs
from doodl.jobs.timing import count_flops
from doodl.pretrained import folders
from doodl.pretrained.outline import outline
from doodl.sampling.adjoints import (
    BudgetAdjoint,
    CheckpointAdjoint,
    DirectAdjoint,
    ReversibleAdjoint,
)
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.gradient import BACKWARD
from doodl.sampling.sampler import Sampler

T = 2


def flops(function, *inputs):
    with FlopCounterMode(display=False) as counter:
        result = function(*inputs)
    return counter.get_total_flops(), result


@pytest.fixture
def told(model):
    return model.conditioning(["a red circle", "a blue star"], ["", ""])


@pytest.fixture
def latents(model):
    draw = pairs.draw([0, 1], model.latent_shape())
    return torch.stack((draw, draw)).requires_grad_()


@pytest.fixture
def one_call(model, told, latents):
    """FLOPs of one guided call, and of the gradient with respect to its input."""
    denoiser = GuidedDenoiser(model.network, 3.0)
    forward, prediction = flops(denoiser, latents[0], 500, told)
    backward, _ = flops(torch.autograd.grad, prediction.sum(), latents)
    return forward, backward


def test_backward_takes_about_as_much_as_forward_and_no_more_than_it_counts():
    """In the packaged world, whose weights are not loaded for it."""
    made = outline(str(folders.SHAPES / "pipeline"))
    shape = made.latent_shape(None, None)
    texts = made.conditioning([""], [""], shape, 5.0)
    denoiser = GuidedDenoiser(made.network, 5.0, made.dtype, None, made.combine)
    call = partial(denoiser, timestep=500, conditioning=texts)
    found = count_flops(call, torch.empty(1, *shape, device="meta"))
    backward = found.gradient_flops / found.flops - 1
    assert backward == pytest.approx(1.01, abs=0.005)
    assert backward < BACKWARD


def update(model, told, latents, adjoint, w=3.0):
    def network(z, *args, **told):
        return model.network(z.clone(), *args, **told)  # the counter takes no leaf

    denoiser = GuidedDenoiser(network, w)
    chain = Sampler(
        model.schedule(model.latent_shape()), denoiser, EDICT(0.8), adjoint, num_steps=T
    )
    chain.sample(latents, told).sum().backward()


@pytest.mark.parametrize(
    ("adjoint", "forwards"),
    [
        (DirectAdjoint(), 1),
        (CheckpointAdjoint(), 2),
        (ReversibleAdjoint(), 2),
        (BudgetAdjoint(gib=1), 1),
    ],
)
def test_an_update_is_its_network_calls_and_no_more(
    adjoint, forwards, model, told, latents, one_call
):
    update(model, told, latents, adjoint)  # a budget measures once
    found, _ = flops(update, model, told, latents, adjoint)
    forward, backward = one_call
    limit = 2 * T * (forwards * forward + backward)
    assert limit <= found <= 1.02 * limit


def test_no_guidance_is_half_of_the_work(model, told, latents):
    guided, _ = flops(update, model, told, latents, ReversibleAdjoint())
    alone, _ = flops(update, model, told, latents, ReversibleAdjoint(), 1.0)
    assert alone == guided / 2


def test_no_weight_has_a_gradient_computed(model, told, latents, one_call):
    forward, backward = one_call
    assert backward <= 1.3 * forward  # twice a forward, if weights had theirs


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("adjoint", [DirectAdjoint(), ReversibleAdjoint()])
def test_the_chain_never_waits_for_the_device(adjoint, world):
    from doodl.pretrained import load_text_to_image

    model = load_text_to_image(str(world / "pipeline"), "cuda")
    told = model.conditioning(["a red circle", "a blue star"], ["", ""])
    draw = pairs.draw([0, 1], model.latent_shape()).cuda()
    latents = torch.stack((draw, draw)).requires_grad_()
    update(model, told, latents, adjoint)  # the first call sets up libraries
    torch.cuda.set_sync_debug_mode("error")
    try:
        update(model, told, latents, adjoint)
    finally:
        torch.cuda.set_sync_debug_mode("default")
