"""The start from the best of several draws: laws, cost, and what it refuses."""

import pytest
import torch

from doodl import latents as pairs
from doodl.baselines import BestOfN
from doodl.editing import Edit
from doodl.generation import Generation
from doodl.guides import Guide, Symmetry
from doodl.render_settings import RenderSettings
from doodl.rendering import Renderer
from doodl.sampling.ddim import DDIM
from doodl.starts import BestOf

T = 3
BATCH = [Generation("a red circle", 0), Generation("a blue star", 5)]


class NoScore(Guide):
    """Scores no picture."""

    def forward(self, pixels, targets):
        return pixels.new_full(pixels.shape[:1], torch.nan)


@pytest.fixture
def renderer(model):
    def make(start, guide=None, **settings):
        settings = {"num_steps": T, "mixing": 0.8, "guidance_scale": 2.0} | settings
        settings = RenderSettings(guide or Symmetry(), start=start, **settings)
        return Renderer(model, settings)

    return make


def selected(renderer, batch):
    """Return the latents that the start of a renderer's settings selects."""
    return renderer.settings.start.initial(renderer, batch)


def test_the_start_is_the_draw_that_the_guide_prefers(renderer):
    found = renderer(BestOf(4, 2))
    batch = found.prepare(BATCH)
    initial = selected(found, batch)
    assert torch.equal(initial[0], initial[1])
    for i, generation in enumerate(BATCH):
        scores = []
        for number in range(4):
            noise = pairs.redraw([generation.seed], number, found.shape)
            alone = renderer(None, num_steps=2)
            one = alone.prepare([generation])
            scores.append(alone.render_ddim(noise[None], one, update=0).guide.item())
        best = max(range(4), key=scores.__getitem__)
        chosen = pairs.redraw([generation.seed], best, found.shape)
        assert torch.equal(initial[0, i], chosen[0])


def test_it_is_the_best_of_n_if_both_have_the_same_chain(fit):
    """With DDIM for the chain itself, as many steps and no gradient."""
    settings = {"seeds": (3,), "num_steps": T, "method": DDIM()}
    (ours,) = fit(start=BestOf(4, T), num_updates=1, **settings).kept
    (theirs,) = fit(baseline=BestOfN(4), stage="predict", **settings).kept
    for mine, best in zip(ours.last, theirs.best, strict=True):
        assert torch.equal(mine.latents, best.latents)
        assert mine.guide == pytest.approx(best.guide, abs=1e-6)


def test_selection_is_the_first_update_after_the_seeds_own_picture(fit):
    with_start, without = (
        fit(start=start, num_steps=T, num_updates=2).kept[0]
        for start in (BestOf(6, T), None)
    )
    pairs_of_first = zip(with_start.first, without.first, strict=True)
    assert all(torch.equal(a.latents, b.latents) for a, b in pairs_of_first)
    assert [shot.update for shot in with_start.last] == [2] * len(with_start.last)


def test_the_properties_of_the_first_picture_are_those_of_its_own_noise(fit):
    with_start, without = (
        fit(start=start, num_steps=T, num_updates=2).terms[0]
        for start in (BestOf(6, T), None)
    )
    for name in ("latent_norm", "kurtosis", "whiteness"):
        assert torch.equal(with_start[name], without[name]), name


def test_a_baseline_keeps_the_seeds_own_noise(fit):
    settings = {"stage": "predict", "num_steps": T}
    with_start, without = (
        fit(start=start, **settings).kept[0] for start in (BestOf(6, T), None)
    )
    both = zip(with_start.first, without.first, strict=True)
    assert all(torch.equal(a.latents, b.latents) for a, b in both)


def test_one_draw_is_the_seeds_own_and_costs_nothing(renderer, counted):
    found = renderer(BestOf(1))
    initial = selected(found, found.prepare(BATCH))
    draw = pairs.draw([0, 5], found.shape)
    assert torch.equal(initial, torch.stack((draw, draw)))
    assert not counted.no_grad


def test_draws_without_a_score_leave_the_seeds_own(renderer):
    found = renderer(BestOf(3, 1), NoScore())
    initial = selected(found, found.prepare(BATCH))
    assert torch.equal(initial[0], pairs.draw([0, 5], found.shape))


def test_a_start_does_not_depend_on_the_batch(renderer):
    found = renderer(BestOf(4, 2))
    together = selected(found, found.prepare(BATCH))
    for i, generation in enumerate(BATCH):
        alone = selected(found, found.prepare([generation]))
        assert torch.equal(together[:, i : i + 1], alone)


@pytest.mark.parametrize("draws", [1, 3])
def test_it_costs_its_draws_and_keeps_no_graph(fit, counted, draws):
    start = BestOf(draws, 2)
    fit(start=start, num_steps=T, num_updates=2)
    chain = 2 * T
    assert len(counted.grad) == chain  # of the second update
    others = len(counted.no_grad) - len(counted.grad)
    assert others == 2 * chain + start.num_calls(chain)
    assert start.num_calls(chain) == (draws > 1) * draws * 2


def test_the_latents_have_the_type_of_the_latents(renderer):
    found = renderer(BestOf(2, 1), latents_dtype="float64")
    assert selected(found, found.prepare(BATCH)).dtype is torch.float64


def test_an_edit_has_no_start():
    with pytest.raises(ValueError, match="an edit or a start, received both, Edit and"):
        RenderSettings(Symmetry(), edit=Edit(), start=BestOf())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "num_draws of at least 1"), ((2, 0), "num_steps of the draws between 1")],
)
def test_bad_numbers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BestOf(*arguments)
