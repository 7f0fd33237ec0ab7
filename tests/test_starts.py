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


def test_the_start_is_the_draw_that_the_guide_prefers(renderer):
    found = renderer(BestOf(4, 2))
    batch = found.prepare(BATCH)
    initial = found.initial(batch)
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
    """With DDIM for the chain itself, as many steps and no update."""
    settings = {"seeds": (3,), "stage": "predict", "num_steps": T}
    (ours,) = fit(start=BestOf(4, T), method=DDIM(), **settings).kept
    (theirs,) = fit(baseline=BestOfN(4), method=DDIM(), **settings).kept
    for mine, best in zip(ours.first, theirs.best, strict=True):
        assert torch.equal(mine.latents, best.latents)
        assert mine.guide == pytest.approx(best.guide, abs=1e-6)


def test_one_draw_is_the_seeds_own_and_costs_nothing(renderer, counted):
    found = renderer(BestOf(1))
    initial = found.initial(found.prepare(BATCH))
    draw = pairs.draw([0, 5], found.shape)
    assert torch.equal(initial, torch.stack((draw, draw)))
    assert not counted.no_grad


def test_draws_without_a_score_leave_the_seeds_own(renderer):
    found = renderer(BestOf(3, 1), NoScore())
    initial = found.initial(found.prepare(BATCH))
    assert torch.equal(initial[0], pairs.draw([0, 5], found.shape))


def test_a_start_does_not_depend_on_the_batch(renderer):
    found = renderer(BestOf(4, 2))
    together = found.initial(found.prepare(BATCH))
    for i, generation in enumerate(BATCH):
        alone = found.initial(found.prepare([generation]))
        assert torch.equal(together[:, i : i + 1], alone)


@pytest.mark.parametrize("draws", [1, 3])
def test_it_costs_its_draws_and_keeps_no_graph(fit, counted, draws):
    start = BestOf(draws, 2)
    fit(start=start, num_steps=T, num_updates=1)
    chain = 2 * T
    others = len(counted.no_grad) - len(counted.grad)
    assert others == chain + start.num_calls(chain)
    assert start.num_calls(chain) == (draws > 1) * draws * 2


def test_the_latents_have_the_type_of_the_latents(renderer):
    found = renderer(BestOf(2, 1), latents_dtype="float64")
    assert found.initial(found.prepare(BATCH)).dtype is torch.float64


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
