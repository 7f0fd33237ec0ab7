"""The networks' precision, and the latents that it never touches."""

from functools import partial

import pytest
import torch
from lightning import Trainer

from doodl import images, pretrained
from doodl.baselines import BestOfN, OneStep
from doodl.editing import Edit
from doodl.guided_generation import GuidedGeneration
from doodl.guides import CLIPText, Symmetry
from doodl.jobs.data import PromptsAndSeeds
from doodl.optimizer import LatentSGD
from doodl.precision import NetworkPrecision, weights_of
from doodl.render_settings import RenderSettings
from doodl.rendering import Renderer
from doodl.sampling.adjoints import CheckpointAdjoint, ReversibleAdjoint

QUIET = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "enable_progress_bar": False,
}


@pytest.fixture
def optimise(world, tmp_path):
    """Runs two updates of the tiny world in a precision; returns the module."""

    def run(precision, guide=None, *, plugin=True, **settings):
        chosen = {"num_steps": 3, "num_updates": 2, "mixing": 0.8} | settings
        module = GuidedGeneration(
            str(world / "pipeline"),
            guide or CLIPText(str(world / "guide")),
            optimizer=lambda p: LatentSGD(p, lr=1e3, clip=0.01, noise_scale=0),
            **chosen,
        )
        given = (
            {"plugins": NetworkPrecision(precision)}
            if plugin
            else {"precision": precision}
        )
        trainer = Trainer(default_root_dir=tmp_path, **QUIET, **given)
        trainer.fit(module, datamodule=PromptsAndSeeds(["a red circle"], seeds=[0]))
        return module

    return run


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed"])
def test_the_latents_stay_in_32_bits(precision, optimise):
    module, reference = optimise(precision), optimise("32-true")
    expected = {"bf16-true": torch.bfloat16, "bf16-mixed": torch.float32}[precision]
    assert module.renderer.model.dtype == expected
    assert module.latents.dtype == torch.float32
    moved = module.latents - reference.latents
    assert 0 < moved.abs().max() < 0.05
    assert not torch.equal(module.latents.bfloat16().float(), module.latents)
    assert module.trajectory.failures == [None]


@pytest.mark.parametrize(
    ("dtype", "autocast", "adjoint"),
    [
        (torch.float32, None, ReversibleAdjoint),
        (torch.float64, None, ReversibleAdjoint),
        (torch.bfloat16, None, CheckpointAdjoint),
        (torch.float32, torch.float16, CheckpointAdjoint),
    ],
)
def test_networks_of_16_bits_keep_the_chains_states(dtype, autocast, adjoint, world):
    model = pretrained.load_text_to_image(str(world / "pipeline"), "cpu", dtype)
    renderer = Renderer(model, RenderSettings(Symmetry()), autocast=autocast)
    assert type(renderer.sampler.adjoint) is adjoint


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("fit", {}),
        ("fit", {"edit": Edit(), "optimizer": partial(LatentSGD, average_pair=False)}),
        ("predict", {}),
        ("predict", {"baseline": OneStep(1.0)}),
        ("predict", {"baseline": BestOfN(2)}),
    ],
    ids=["fit", "edit", "original", "one-step", "best-of-n"],
)
def test_every_call_of_a_network_has_the_mixed_precision(
    fit, model, monkeypatch, tmp_path, stage, settings
):
    modes = []
    for network in (model.denoiser, model.pipeline.text_encoder, model.vae.decoder):

        def forward(*args, network=network, call=network.forward, **keys):
            modes.append((type(network).__name__, torch.is_autocast_enabled("cpu")))
            return call(*args, **keys)

        monkeypatch.setattr(network, "forward", forward)
    if "edit" in settings:
        images.save(torch.rand(3, 32, 32), tmp_path / "a.png")
        settings = settings | {"images": [str(tmp_path / "a.png")]}
    plugin = {"plugins": NetworkPrecision("bf16-mixed")}
    fit(None if "edit" in settings else ["a"], stage=stage, trainer=plugin, **settings)
    assert {mode for _, mode in modes} == {True}
    assert len({name for name, _ in modes}) == 3


def test_the_pair_may_have_64_bits_around_networks_of_32(optimise):
    module = optimise("32-true", latents_dtype="float64")
    assert module.latents.dtype == torch.float64
    assert module.renderer.model.dtype == torch.float32
    reference = optimise("32-true")
    torch.testing.assert_close(
        module.latents.float(), reference.latents, rtol=0, atol=2e-3
    )


def test_64_bits_are_64_bits(optimise):
    module = optimise("64-true", guide=Symmetry(), latents_dtype="float64")
    assert module.renderer.model.dtype == torch.float64


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed"])
def test_a_trainer_that_would_cast_the_latents_is_refused(precision, optimise):
    with pytest.raises(ValueError, match=f"plugins=NetworkPrecision.'{precision}'"):
        optimise(precision, plugin=False)


def test_an_overflow_ends_the_generation_and_no_update_is_skipped(
    optimise, monkeypatch
):
    def overflow(self, z):
        high = z.half() * 6e4 * 6e4
        return (high - high).float().mean() * torch.ones(len(z), 3, 32, 32)

    monkeypatch.setattr("doodl.pretrained.TextToImage.decode", overflow)
    module = optimise("32-true", guide=Symmetry())
    assert module.trajectory.failures == ["the image's score is not finite"]


def test_a_precision_that_networks_cannot_have_is_refused():
    with pytest.raises(ValueError, match=r"Expected a precision of .*'int8'"):
        NetworkPrecision("int8")


def test_short_names_are_lightnings():
    assert NetworkPrecision("bf16").precision == "bf16-mixed"
    assert weights_of(Trainer(**QUIET)) == torch.float32
