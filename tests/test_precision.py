"""The networks' precision, and the latents that it never touches."""

import pytest
import torch
from lightning import Trainer

from doodl.guided_generation import GuidedGeneration
from doodl.guides import CLIPText, Symmetry
from doodl.jobs.data import PromptsAndSeeds
from doodl.optimizer import LatentSGD
from doodl.precision import NetworkPrecision, sixteen_bits, weights_of
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
    assert module.model.dtype == expected
    assert module.latents.dtype == torch.float32
    moved = module.latents - reference.latents
    assert 0 < moved.abs().max() < 0.05
    assert not torch.equal(module.latents.bfloat16().float(), module.latents)
    assert module.trajectory.failures == [None]


@pytest.mark.parametrize(
    ("precision", "adjoint"),
    [
        ("32-true", ReversibleAdjoint),
        ("64-true", ReversibleAdjoint),
        ("bf16-true", CheckpointAdjoint),
        ("16-mixed", CheckpointAdjoint),
    ],
)
def test_networks_of_16_bits_keep_the_chains_states(precision, adjoint):
    trainer = Trainer(plugins=NetworkPrecision(precision), logger=False)
    module = GuidedGeneration("shapes", Symmetry())
    chosen = module.parts.settle(sixteen_bits=sixteen_bits(trainer))
    assert type(chosen) is adjoint


def test_the_pair_may_have_64_bits_around_networks_of_32(optimise):
    module = optimise("32-true", latents_dtype="float64")
    assert module.latents.dtype == torch.float64
    assert module.model.dtype == torch.float32
    reference = optimise("32-true")
    torch.testing.assert_close(
        module.latents.float(), reference.latents, rtol=0, atol=2e-3
    )


def test_64_bits_are_64_bits(optimise):
    module = optimise("64-true", guide=Symmetry(), latents_dtype="float64")
    assert module.model.dtype == torch.float64


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
