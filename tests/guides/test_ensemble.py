import math

import pytest
import torch

from doodl.generation import Generation
from doodl.guides.base import Guide, repeat
from doodl.guides.clip import CLIPText
from doodl.guides.cutouts import resize
from doodl.guides.ensemble import Ensemble
from doodl.guides.symmetry import Symmetry

GENERATIONS = [Generation("a cat", 0), Generation("red dog", 1)]


class Level(Guide):
    """Squared distance of the mean brightness from the seed's level."""

    def prepare(self, generations):
        return {"embedding": torch.tensor([float(g.seed) for g in generations])}

    def forward(self, pixels, targets):
        return (pixels.mean(dim=(1, 2, 3)) - targets["embedding"]).square()

    def score(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3))


@pytest.fixture
def members(clips):
    return [CLIPText("4"), Level(), CLIPText("6"), Symmetry()]


def loaded(guides, weights=None):
    ensemble = Ensemble(guides, weights)
    ensemble.load()
    return ensemble


@pytest.fixture
def pixels(generator):
    return torch.rand(2, 3, 6, 6, generator=generator, dtype=torch.float64)


def test_the_loss_is_the_weighted_mean_of_the_members_losses(members, pixels):
    weights = [0.5, 0.25, 2.0, 0.0]
    ensemble = loaded(members, weights)
    losses, scores = [], []
    for guide, size in zip(members, [4, 6, 6, 6], strict=True):
        picture, targets = resize(pixels, size), guide.prepare(GENERATIONS)
        losses.append(guide(picture, targets))
        scores.append(guide.score(picture, targets))
    targets = ensemble.prepare(GENERATIONS)
    mean = sum(w * x for w, x in zip(weights, losses, strict=True)) / 2.75
    assert torch.allclose(ensemble(pixels, targets), mean)
    mean = sum(w * x for w, x in zip(weights, scores, strict=True)) / 2.75
    assert torch.allclose(ensemble.score(pixels, targets), mean)


def test_an_ensemble_of_one_is_its_member(clips, pixels):
    guide = CLIPText("6")
    ensemble = loaded([guide], [0.3])
    own, targets = guide.prepare(GENERATIONS), ensemble.prepare(GENERATIONS)
    assert torch.equal(ensemble(pixels, targets), guide(pixels, own))
    assert torch.equal(ensemble.score(pixels, targets), guide.score(pixels, own))
    assert ensemble.input_size == guide.input_size


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e6])
def test_only_the_proportions_of_weights_count(members, pixels, scale):
    weights = [0.5, 0.25, 0.25, 0.1]
    one = loaded(members, weights)
    other = loaded(members, [scale * w for w in weights])
    targets = one.prepare(GENERATIONS)
    assert torch.allclose(one(pixels, targets), other(pixels, targets), rtol=1e-12)


def test_without_weights_all_are_equal(members, pixels):
    targets = loaded(members).prepare(GENERATIONS)
    assert torch.equal(
        loaded(members)(pixels, targets), loaded(members, [2] * 4)(pixels, targets)
    )


def test_gradient_equals_finite_differences(members, pixels):
    ensemble = loaded(members, [0.5, 0.25, 2.0, 1.0])
    targets = ensemble.prepare(GENERATIONS)
    assert torch.autograd.gradcheck(
        lambda x: ensemble(x, targets), pixels.requires_grad_(), rtol=1e-6
    )


def test_the_largest_member_decides_the_size(members):
    assert loaded(members).input_size == 6
    assert loaded([Symmetry(), Level()]).input_size is None


def test_terms_are_the_loss_and_the_members_losses_by_name(members, pixels):
    ensemble = loaded(members, [0.5, 0.25, 2.0, 1.0])
    targets = ensemble.prepare(GENERATIONS)
    terms = ensemble.terms(pixels.requires_grad_(), targets)
    assert list(terms) == ["loss", "CLIPText_1", "Level", "CLIPText_2", "Symmetry"]
    assert all(term.shape == (2,) for term in terms.values())
    total, *parts = terms.values()
    assert torch.equal(total, ensemble(pixels, targets))
    assert total.requires_grad
    assert not any(part.requires_grad for part in parts)
    by_hand = sum(w * x for w, x in zip(ensemble.weights, parts, strict=True))
    assert torch.allclose(total, by_hand)


def test_a_nested_ensemble_keeps_its_names(clips, pixels):
    inner = Ensemble([CLIPText("6"), Level(), CLIPText("4")])
    outer = loaded([inner, Symmetry()])
    targets = outer.prepare(GENERATIONS)
    terms = outer.terms(pixels, targets)
    assert list(terms) == [
        "loss",
        "Ensemble",
        "Ensemble.CLIPText_1",
        "Ensemble.Level",
        "Ensemble.CLIPText_2",
        "Symmetry",
    ]
    own = {k.removeprefix("0."): v for k, v in targets.items() if k[0] == "0"}
    for name, term in inner.terms(pixels, own).items():
        shown = "Ensemble" if name == "loss" else f"Ensemble.{name}"
        assert torch.equal(terms[shown], term)


def test_terms_do_not_depend_on_another_call(members, pixels):
    ensemble = loaded(members)
    targets = ensemble.prepare(GENERATIONS)
    before = ensemble.terms(pixels, targets)
    ensemble.terms(pixels / 2, targets)
    again = ensemble.terms(pixels, targets)
    assert all(torch.equal(before[name], again[name]) for name in before)


def test_members_keep_their_targets_apart_also_when_nested(clips, pixels):
    inner = Ensemble([Level(), CLIPText("6")])
    crowd = [Symmetry() for _ in range(10)]
    outer = loaded([Level(), inner, *crowd, CLIPText("4")], [1, 2, *[0] * 10, 1])
    targets = outer.prepare(GENERATIONS)
    assert sorted(targets) == [
        "0.embedding",
        "1.0.embedding",
        "1.1.embedding",
        "12.embedding",
    ]
    expected = outer(pixels, targets)
    level, text = inner.members
    flat = loaded([level, text, outer.members[-1]], [2, 1, 1])
    assert torch.allclose(flat(pixels, flat.prepare(GENERATIONS)), expected)


def test_targets_can_be_repeated_for_crops(members, pixels):
    ensemble = loaded(members)
    targets = repeat(ensemble.prepare(GENERATIONS), 3)
    losses = ensemble(pixels.repeat_interleave(3, dim=0), targets)
    once = ensemble(pixels, ensemble.prepare(GENERATIONS))
    assert torch.allclose(losses, once.repeat_interleave(3))


@pytest.mark.parametrize(
    ("count", "weights", "message"),
    [
        (0, None, "at least one guide"),
        (2, [1.0], "each of 2 guides, received 1"),
        (2, [], "each of 2 guides, received 0"),
        (1, [1.0, 2.0], "each of 1 guides, received 2"),
        (2, [1.0, -0.5], "weights of 0 or more, received -0.5"),
        (2, [1.0, math.nan], "weights of 0 or more, received nan"),
        (2, [1.0, math.inf], "weights of 0 or more, received inf"),
        (2, [0.0, 0.0], "at least one weight above 0"),
    ],
)
def test_impossible_weights_are_refused(count, weights, message):
    with pytest.raises(ValueError, match=message):
        Ensemble([Symmetry() for _ in range(count)], weights)
