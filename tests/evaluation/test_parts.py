"""Metrics, verdicts, whiteness, cost and ratings against independent statements."""

import math
from functools import partial

import pytest
import torch
from torch.nn.functional import cosine_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio

from doodl.description import describe
from doodl.editing import Edit
from doodl.evaluation.cost import calls_made, spent_by, update_calls
from doodl.evaluation.metrics import (
    MOST_PSNR,
    ClipFeatures,
    clip_scores,
    distances,
    movements,
)
from doodl.evaluation.ratings import Question, preferences
from doodl.evaluation.verdicts import explain, make_judge
from doodl.evaluation.whiteness import low_frequencies, whiteness
from doodl.generation import Generation
from doodl.guides import CLIPText
from doodl.images import load, save
from doodl.optimizer import LatentSGD
from doodl.pretrained import load_clip
from doodl.sampling import adjoints
from doodl.sampling.ddim import DDIM
from doodl.sampling.edict import EDICT
from doodl.shapes.attributes import HEADS, readings
from doodl.shapes.judge import matches
from doodl.starts import BestOf


@pytest.fixture
def pictures(tmp_path):
    def make(count, offset=0.0, seed=0):
        random = torch.Generator().manual_seed(seed)
        paths = []
        for number in range(count):
            paths.append(tmp_path / f"{seed}-{number}.png")
            pixels = torch.rand(3, 32, 32, generator=random)
            save((pixels + offset).clamp(0, 1), paths[-1])
        return paths

    return make


# Metrics ------------------------------------------------------------------------------


def test_clip_score_is_100_times_the_cosine_that_the_guide_reports(shapes, pictures):
    paths, prompts = pictures(3), ["a red circle", "a blue star", "a green heart"]
    guide = CLIPText("shapes/judge")
    guide.load()
    targets = guide.prepare([Generation(prompt, 0) for prompt in prompts])
    pixels = torch.stack([load(path) for path in paths])
    expected = 100 * guide.score(pixels, targets)
    found = clip_scores(paths, prompts, load_clip("shapes/judge"))
    assert found == pytest.approx(expected.clamp(min=0).tolist(), abs=1e-3)


def test_equal_pictures_have_not_moved(shapes, pictures):
    network = ClipFeatures(load_clip("shapes/judge"))
    paths, others = pictures(2), pictures(2, seed=1)
    found = movements(paths, paths, network)
    assert found["psnr"] == [MOST_PSNR] * 2
    assert found["moved"] == pytest.approx([0, 0], abs=1e-6)
    found = movements(paths, others, network)
    a, b = (torch.stack([load(p) for p in some]) for some in (paths, others))
    moved = 1 - cosine_similarity(network(a), network(b))
    assert found["moved"] == pytest.approx(moved.tolist())
    first = peak_signal_noise_ratio(b[0], a[0], data_range=1.0)
    assert found["psnr"][0] == pytest.approx(first.item())


class Means(torch.nn.Module):
    """Three features: the means of a picture's channels."""

    num_features = 3

    def forward(self, pixels):
        return pixels.mean(dim=(2, 3))


def test_fid_is_the_distance_of_two_normal_distributions(pictures):
    one, other = pictures(30), pictures(30, offset=0.2, seed=1)
    found = distances(one, other, Means())
    a, b = (
        torch.stack([load(path).double().mean(dim=(1, 2)) for path in paths])
        for paths in (one, other)
    )
    roots = torch.linalg.eigvals(a.T.cov() @ b.T.cov()).sqrt().real.sum()
    trace = a.T.cov().trace() + b.T.cov().trace() - 2 * roots
    expected = (a.mean(dim=0) - b.mean(dim=0)).square().sum() + trace
    assert found["fid"] == pytest.approx(expected.item(), rel=1e-3)
    same = distances(one, one, Means())
    assert same["fid"] == pytest.approx(0, abs=1e-6)
    assert same["kid"] < found["kid"]


# Verdicts -----------------------------------------------------------------------------


def seen(**changes):
    """What a picture of "a red circle above a blue star" shows, with changes."""
    values = {name: classes[0] for name, classes in HEADS.items()}
    values |= {"layout": "vertical", "first_kind": "circle", "first_colour": "red"}
    return values | {"second_kind": "star", "second_colour": "blue"} | changes


CAPTION = "a red circle above a blue star"
SWAPPED = {
    "first_kind": "star",
    "first_colour": "blue",
    "second_kind": "circle",
    "second_colour": "red",
}


@pytest.mark.parametrize(
    ("changes", "kinds", "reason"),
    [
        ({}, (), ""),
        (
            {"first_colour": "pink"},
            ("colour",),
            "first object's colour is pink, not red",
        ),
        ({"second_kind": "moon"}, ("object",), "second's kind is moon, not star"),
        (
            {"layout": "horizontal"},
            ("relation",),
            "layout is side by side, not one above the other",
        ),
        (SWAPPED, ("relation",), "the two objects are exchanged"),
        ({"layout": "one"}, ("count",), "one object, not one above the other"),
    ],
)
def test_the_reason_names_what_is_wrong(changes, kinds, reason):
    verdict = explain(seen(**changes), readings(CAPTION))
    assert (verdict.kinds, verdict.reason) == (kinds, reason)
    assert verdict.right == matches(seen(**changes), readings(CAPTION))


def test_the_closest_reading_is_explained():
    found = seen(**SWAPPED) | {"first_colour": "pink"}
    verdict = explain(found, readings("a red circle and a blue star"))
    assert verdict.reason == "first object's colour is pink, not blue"


def test_an_unknown_prompt_has_no_verdict():
    assert explain(seen(), None).right is None


def test_a_folder_cannot_name_foreign_code():
    assert make_judge({"class_path": "os.system", "init_args": {}}) is None
    assert make_judge(None) is None


# Latents ------------------------------------------------------------------------------


def test_white_noise_is_white(generator):
    found = whiteness(torch.randn(2, 4, 64, 64, generator=generator))
    expected = {"norm": 1, "autocorrelation": 0, "kurtosis": 3, "low_frequencies": 1}
    assert found == pytest.approx(expected, abs=0.05)


def test_smooth_noise_is_not(generator):
    noise = torch.randn(2, 4, 64, 64, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    assert whiteness(smooth)["autocorrelation"] > 0.5
    assert low_frequencies(smooth) > 2


# Cost ---------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["neither", "start", "edit"])
def test_calls_are_those_that_the_model_counts(fit, counted, part, tmp_path):
    save(torch.rand(3, 32, 32), tmp_path / "picture.png")
    picture = {"edit": Edit(), "images": [str(tmp_path / "picture.png")]}
    picture["optimizer"] = partial(LatentSGD, average_pair=False)
    chosen = {"start": {"start": BestOf(3, 4)}, "edit": picture}.get(part, {})
    parts = {name: describe(chosen.get(name)) for name in ("edit", "start")}
    settings = {"command": "fit", "model": {"num_steps": 2, **parts}}
    fit(("a red circle",), num_updates=3, guidance_scale=1.0, **chosen)
    found = calls_made(settings, {"updates": 3})
    # The reversible adjoint makes each of its calls without gradient first.
    repeated = len(counted.grad)
    plain = len(counted.no_grad) - repeated
    assert (found.gradient, found.plain) == (repeated, plain)


@pytest.mark.parametrize("method", [EDICT(0.8), DDIM()])
@pytest.mark.parametrize(
    "adjoint",
    [
        adjoints.DirectAdjoint(),
        adjoints.CheckpointAdjoint(),
        adjoints.BudgetAdjoint(),
        adjoints.StraightThroughAdjoint(),
        adjoints.ShortcutAdjoint(),
    ],
)
def test_an_updates_calls_are_those_that_the_adjoint_counts(method, adjoint, model):
    parts = {"method": describe(method), "adjoint": describe(adjoint)}
    steps = model.schedule(model.latent_shape()).steps(5)
    expected = adjoints.gradient_calls(adjoint, method.moves(steps))
    assert update_calls({"model": {"num_steps": 5, **parts}}) == expected


def test_calls_of_the_baselines():
    def settings(name):
        baseline = {"class_path": f"doodl.baselines.{name}", "init_args": {}}
        return {"command": "predict", "model": {"num_steps": 5, "baseline": baseline}}

    assert calls_made(settings("OneStep"), {"updates": 1}).equivalents == 20
    assert calls_made(settings("BestOfN"), {"updates": 9}).plain == 50
    assert calls_made(settings("Original"), {"updates": 0}).plain == 10
    assert calls_made({}, {"updates": 3}) is None
    assert calls_made({}, {"calls": "70"}).plain == 70


def test_curves_grow_with_updates():
    settings = {"command": "fit", "model": {"num_steps": 5}}
    assert spent_by(settings, 0) == 10
    assert spent_by(settings, 2) == 10 + 2 * 34
    settings["model"] |= {
        "adjoint": describe(adjoints.ShortcutAdjoint()),
        "start": describe(BestOf(3, 4)),
    }
    assert spent_by(settings, 2) == 12 + 10 + 2 * (10 + 2 * 1.4)


# Ratings ------------------------------------------------------------------------------


def test_answers_are_counted_for_methods_not_for_sides():
    questions = [Question("q", "p", "0", "a", "b"), Question("r", "p", "1", "b", "a")]
    answers = {"q": ["left", "left", "same"], "r": ["left", "right", "same"]}
    (found,) = preferences(questions, answers)
    assert (found.first, found.second) == ("a", "b")
    assert found.wins == (3, 2, 1)
    assert found.majorities == (1, 1, 0)
    assert preferences(questions, {}) == []


def test_nothing_is_nan_in_the_spectrum_of_small_latents():
    assert math.isfinite(low_frequencies(torch.randn(1, 4, 8, 8)))
