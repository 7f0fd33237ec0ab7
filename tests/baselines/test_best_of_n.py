"""Best of N: how many, and bad input."""

import pytest
import torch

from doodl import latents as pairs
from doodl.baselines.best_of_n import BestOfN
from doodl.rendering import Renderer


def test_n_costs_what_the_updates_cost():
    assert BestOfN().count(20) == BestOfN(updates=20).count(50) == 136
    assert BestOfN(samples=5).count(20) == 5


def test_the_guides_favourite_of_n_is_kept_and_the_first_is_the_original(
    fit, monkeypatch
):
    scores, render = [], Renderer.render_ddim

    def watched(self, *args, **keys):
        rendering = render(self, *args, **keys)
        scores.append(rendering.guide.item())
        return rendering

    monkeypatch.setattr(Renderer, "render_ddim", watched)
    (original,) = fit(
        baseline=BestOfN(1), stage="predict", seeds=(3,), prompts="a"
    ).kept
    for count in (2, 5):
        scores.clear()
        (kept,) = fit(
            baseline=BestOfN(count), stage="predict", seeds=(3,), prompts="a"
        ).kept
        assert len(scores) == len(set(scores)) == count
        assert torch.equal(kept.first[0].pixels, original.first[0].pixels)
        assert kept.best[0].guide == max(scores)


def test_every_sample_is_a_draw_of_its_own_seed(fit):
    settings = {"stage": "predict", "prompts": "a", "seeds": (3, 5), "batch_size": 2}
    (kept,) = fit(baseline=BestOfN(4), **settings).kept
    for seed, shot in zip((3, 5), kept.best, strict=True):
        noise = pairs.redraw([seed], shot.update, shot.latents.shape[1:])
        assert torch.equal(shot.latents, noise)


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="samples of at least 1"):
        BestOfN(samples=0)
    with pytest.raises(ValueError, match="updates of at least 1"):
        BestOfN(updates=0)


def test_the_samples_have_the_precision_of_the_latents(fit):
    (kept,) = fit(baseline=BestOfN(2), stage="predict", latents_dtype="float64").kept
    for shots in (kept.first, kept.best, kept.last):
        assert {shot.latents.dtype for shot in shots} == {torch.float64}
