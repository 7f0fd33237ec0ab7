"""How networks are run changes no image by more than round-off."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from doodl.execution import LARGE, Execution, picture_by_picture
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
        GuidedGeneration("own/tiny", Symmetry(), guidance_interval=(600, 200))


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


@pytest.mark.parametrize("asked", [True, False])
def test_compiling_reaches_the_unet_and_the_decoder(own, z, monkeypatch, asked):
    ran = []

    def compile(function, **options):
        def compiled(*args, **keys):
            ran.append(function.__self__)
            return function(*args, **keys)

        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    Execution(compile=asked).prepare(own)
    predict(own, z)
    own.decode(z)
    assert ran == ([own.denoiser, own.vae.decoder] if asked else [])


class Placed(torch.nn.Module):
    """A network that remembers to which device it was moved."""

    def __init__(self, device):
        super().__init__()
        self.device = torch.device(device)

    def to(self, device):
        self.device = torch.device(device)
        return self


@pytest.fixture
def placed():
    """A model on a device other than main memory, with two text encoders on it."""
    encoders = [Placed("meta"), Placed("meta")]
    return SimpleNamespace(
        denoiser=Placed("meta"),
        vae=SimpleNamespace(decoder=Placed("meta")),
        device=torch.device("meta"),
        text_encoders=lambda: encoders,
    )


def places(model):
    return {encoder.device.type for encoder in model.text_encoders()}


@pytest.mark.parametrize(("offload", "place"), [(True, "cpu"), (False, "meta")])
def test_offloaded_text_encoders_are_on_the_device_only_to_read(placed, offload, place):
    execution = Execution(offload=offload)
    execution.prepare(placed)
    assert places(placed) == {place}
    with execution.reading(placed):
        assert places(placed) == {"meta"}
    assert places(placed) == {place}


def test_text_encoders_are_offloaded_after_an_error_too(placed):
    with pytest.raises(KeyError), Execution(offload=True).reading(placed):
        raise KeyError
    assert places(placed) == {"cpu"}


def test_prompts_are_read_where_the_text_encoders_are(fit, model, monkeypatch):
    reading, conditioning, inside = Execution.reading, model.conditioning, []

    @contextmanager
    def noted(self, model):
        with reading(self, model):
            inside.append(True)
            yield
            inside.pop()

    def read(*args):
        assert inside
        return conditioning(*args)

    same = fit(["a red circle"]).latents.detach().clone()
    monkeypatch.setattr(Execution, "reading", noted)
    monkeypatch.setattr(model, "conditioning", read)
    found = fit(["a red circle"], execution=Execution(offload=True)).latents
    assert torch.equal(found, same)


# One picture at a time


class Wide:
    """A function with a large activation, which counts how many are alive."""

    def __init__(self):
        self.activations, self.calls, self.most = [], 0, 0

    def __call__(self, z, scale):
        hidden = (z * scale).repeat(1, 100).sin()
        self.activations.append(StorageWeakRef(hidden.untyped_storage()))
        self.calls += 1
        alive = sum(not storage.expired() for storage in self.activations)
        self.most = max(self.most, alive)
        return hidden.square().sum(dim=1), hidden[:, :2].detach().clone()


@pytest.fixture
def wide_inputs(generator):
    z = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    return z.requires_grad_(), torch.arange(1.0, 6.0)[:, None]


def test_the_result_and_the_gradient_are_those_of_all_at_once(wide_inputs):
    together, apart = Wide()(*wide_inputs), picture_by_picture(Wide(), *wide_inputs)
    torch.testing.assert_close(apart, together)
    assert not apart[1].requires_grad
    together, apart = together[0], apart[0]
    weights = torch.arange(5.0, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((result * weights).sum(), wide_inputs[0])
        for result in (apart, together)
    )
    torch.testing.assert_close(found, expected)


def test_the_activations_of_one_input_are_alive_at_a_time(wide_inputs):
    apart, kept = Wide(), Wide()
    picture_by_picture(apart, *wide_inputs)[0].sum().backward()
    assert (apart.most, apart.calls) == (1, 5)
    graphs = [kept(z[None], s[None])[0] for z, s in zip(*wide_inputs, strict=True)]
    assert kept.most == len(graphs) == 5


def test_forward_keeps_the_gradient_only(wide_inputs):
    found, _ = picture_by_picture(Wide(), *wide_inputs)
    kept = found.grad_fn.saved_tensors
    assert [tensor.shape for tensor in kept] == [wide_inputs[0].shape]


def test_the_gradient_cannot_be_differentiated_again(wide_inputs):
    loss = picture_by_picture(Wide(), *wide_inputs)[0].square().sum()
    (gradient,) = torch.autograd.grad(loss, wide_inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_without_a_gradient_each_input_is_seen_once(wide_inputs):
    wide = Wide()
    with torch.no_grad():
        found = picture_by_picture(wide, *wide_inputs)
    assert wide.calls == 5
    torch.testing.assert_close(found, Wide()(*wide_inputs))
