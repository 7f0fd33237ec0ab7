"""How networks are run changes no image by more than round-off."""

from types import SimpleNamespace

import pytest
import torch

from doodl.execution import LARGE, Execution
from doodl.guided_generation import GuidedGeneration
from doodl.guides import Symmetry
from doodl.pretrained import load_text_to_image
from doodl.sampling.denoiser import GuidedDenoiser


@pytest.fixture
def own(world):
    """A pipeline that a test may change."""
    return load_text_to_image(str(world / "pipeline"))


@pytest.fixture
def z(generator):
    return torch.randn((2, 4, 8, 8), generator=generator)


def predict(model, z):
    told = model.conditioning(["a red circle"] * 2, [""] * 2).to(model.dtype)
    return GuidedDenoiser(model.network, 3.0, model.dtype)(z, 500, told)


def test_by_default_nothing_is_changed(own, model, z):
    Execution().prepare(own)
    assert torch.equal(predict(own, z), predict(model, z))


def test_channels_last_is_another_layout_of_the_same_weights(own, model, z):
    Execution(channels_last=True).prepare(own)
    kernels = [p for p in own.denoiser.parameters() if p.dim() == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    torch.testing.assert_close(predict(own, z), predict(model, z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "device", "pixels", "size"),
    [
        (None, "meta", LARGE - 1, 3),
        (None, "meta", LARGE, 1),
        (None, "cpu", 1, 1),
        (True, "meta", 1, 1),
        (False, "cpu", LARGE, 3),
    ],
)
def test_large_pictures_are_taken_one_by_one_unless_it_is_said(
    setting, device, pixels, size
):
    seen = []

    def function(z):
        seen.append(len(z))
        return (2 * z,)

    z = torch.arange(3.0, device=device, requires_grad=True)
    execution = Execution(image_by_image=setting)
    (found,) = execution.losses(function, z, pixels=pixels)
    assert found.shape == (3,)
    assert set(seen) == {size}


def test_an_update_is_the_same_one_by_one(fit):
    together, apart = (
        fit(execution=Execution(image_by_image=each)).latents.detach().clone()
        for each in (False, True)
    )
    torch.testing.assert_close(apart, together, rtol=1e-5, atol=1e-6)


def test_one_by_one_the_decoder_sees_one_picture(fit, model, monkeypatch):
    seen, decode = [], model.decode
    monkeypatch.setattr(model, "decode", lambda z: seen.append(len(z)) or decode(z))
    fit(execution=Execution(image_by_image=True))
    assert set(seen) == {1}


def test_an_interval_is_refused_before_anything_is_loaded():
    with pytest.raises(ValueError, match="first timestep not above its last"):
        GuidedGeneration("tiny", Symmetry(), guidance_interval=(600, 200))


def test_an_interval_halves_the_batches_outside_of_it(fit, counted):
    fit(["a red circle"], num_updates=1, guidance_interval=(500, 999))
    assert sorted(set(counted.no_grad + counted.grad)) == [1, 2]


@pytest.mark.slow
def test_a_compiled_network_is_compiled_once_whatever_the_step(own, model):
    import torch._dynamo
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    own.denoiser.compile(backend="aot_eager", fullgraph=False)
    z = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    told = own.conditioning(["a red circle"] * 2, [""] * 2)
    denoiser = GuidedDenoiser(own.network, 3.0)
    with torch.no_grad():
        first = denoiser(z, 981, told)
        graphs = counters["stats"]["unique_graphs"]
        for timestep in (961, 941, 21, 1):
            denoiser(z, timestep, told)
    assert graphs >= 1
    assert counters["stats"]["unique_graphs"] == graphs
    with torch.no_grad():
        expected = GuidedDenoiser(model.network, 3.0)(z, 981, told)
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-5)


def test_compiling_reaches_the_unet_and_the_decoder():
    compiled = []
    part = lambda name: SimpleNamespace(compile=lambda: compiled.append(name))  # noqa: E731
    model = SimpleNamespace(
        denoiser=part("unet"), vae=SimpleNamespace(decoder=part("vae"))
    )
    Execution(compile=True).prepare(model)
    assert compiled == ["unet", "vae"]


def test_offloaded_text_encoders_are_there_when_prompts_are_read(
    fit, model, monkeypatch
):
    moves, (encoder,) = [], model.text_encoders()
    monkeypatch.setattr(encoder, "to", lambda device: moves.append(str(device)))
    conditioning = model.conditioning

    def read(*args):
        moves.append("read")
        return conditioning(*args)

    monkeypatch.setattr(model, "conditioning", read)
    same = fit(["a red circle"]).latents.detach().clone()
    assert moves == ["read"]
    moves.clear()
    found = fit(["a red circle"], execution=Execution(offload=True)).latents
    assert moves == ["cpu", str(model.device), "read", "cpu"]
    assert torch.equal(found, same)
