"""One-step guidance: the formulas, and that strength 0 is plain DDIM."""

import pytest
import torch

from doodl.baselines.one_step import OneStep, split
from doodl.callbacks import Results
from doodl.sampling.schedule import Schedule

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_noise_and_clean_latent_make_the_noisy_one(kind, generator):
    config = {**SCHEDULE, "prediction_type": kind}
    step = Schedule.from_config(config).steps(10)[3]
    z, raw = torch.randn(2, 1, 3, 4, 4, generator=generator, dtype=torch.float64)
    noise, clean = split(step, z, raw, kind)
    torch.testing.assert_close(step.alpha_t * clean + step.sigma_t * noise, z)
    if kind == "epsilon":
        assert noise is raw


def guided(fit, strength):
    return fit(
        baseline=OneStep(strength), stage="predict", num_steps=6, seeds=(0, 1)
    ).kept[0]


def test_without_strength_it_is_the_original(fit):
    kept = guided(fit, 0.0)
    for first, last in zip(kept.first, kept.last, strict=True):
        torch.testing.assert_close(last.pixels, first.pixels, atol=1e-5, rtol=0)


def test_a_little_of_it_raises_the_guides_score(fit):
    kept = guided(fit, 3.0)
    for first, last in zip(kept.first, kept.last, strict=True):
        assert last.guide > first.guide


def test_a_bad_strength_is_refused():
    with pytest.raises(ValueError, match="a strength of 0 or more"):
        OneStep(float("nan"))


def test_a_steered_picture_has_no_latents_that_would_make_it(fit, tmp_path):
    results = Results(str(tmp_path / "results"))
    (kept,) = fit(baseline=OneStep(3.0), stage="predict", callbacks=[results]).kept
    assert [shot.latents for shot in kept.last] == [None, None]
    assert all(shot.latents is not None for shot in kept.first)
    assert len(list(results.folder.glob("*/final.png"))) == 2
    assert not list(results.folder.glob("*/latents.safetensors"))
