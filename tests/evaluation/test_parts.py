"""Metrics, verdicts, whiteness, cost and ratings against independent statements."""

import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cosine_similarity
from torch.utils.flop_counter import FlopCounterMode
from torchmetrics.functional.image import peak_signal_noise_ratio

from doodl.baselines.best_of_n import SAMPLES_PER_UPDATE
from doodl.evaluation.cost import Calls, call_cost, calls_made
from doodl.evaluation.folders import read_methods
from doodl.evaluation.metrics import (
    MOST_PSNR,
    ClipFeatures,
    clip_scores,
    distances,
    movements,
)
from doodl.evaluation.preferences import preferences
from doodl.evaluation.ratings import Question
from doodl.evaluation.verdicts import explain, make_judge
from doodl.evaluation.whiteness import low_frequencies, whiteness
from doodl.generation import Generation
from doodl.guides import CLIPText
from doodl.images import load, save
from doodl.pretrained import load_clip
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.gradient import GradientCalls
from doodl.shapes.attributes import HEADS, readings
from doodl.shapes.judge import matches


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
            "upper object's colour is pink, not red",
        ),
        (
            {"second_kind": "moon"},
            ("object",),
            "lower object's kind is moon, not star",
        ),
        (
            {"layout": "horizontal"},
            ("relation",),
            "two objects side by side, not two objects one above the other",
        ),
        (SWAPPED, ("relation",), "the two objects are exchanged"),
        (
            {"layout": "one"},
            ("count",),
            "one object, not two objects one above the other",
        ),
    ],
)
def test_the_reason_names_what_is_wrong(changes, kinds, reason):
    verdict = explain(seen(**changes), readings(CAPTION))
    assert (verdict.kinds, verdict.reason) == (kinds, reason)
    assert verdict.right == matches(seen(**changes), readings(CAPTION))


def test_the_closest_reading_is_explained():
    found = seen(**SWAPPED) | {"first_colour": "pink"}
    verdict = explain(found, readings("a red circle and a blue star"))
    assert verdict.reason == "upper object's colour is pink, not blue"


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


def test_a_call_with_gradient_counts_two_and_two_fifths():
    found = calls_made({"calls": "20", "gradient_calls": 10})
    assert found.equivalents == 20 + 24
    assert calls_made({"calls": "70"}).equivalents == 70
    assert calls_made({"updates": 3}) is None


def test_a_gradient_counts_the_same_in_tables_and_in_plans():
    planned = GradientCalls(forward=7, repeated=3, differentiated=5)
    assert Calls(plain=5, gradient=5).equivalents == pytest.approx(planned.equivalents)
    assert 2 * GradientCalls(1, 1, 1).equivalents == SAMPLES_PER_UPDATE


def test_flops_are_those_of_the_counted_calls(shapes, model):
    settings = {"model": {"pretrained": "shapes", "guidance_scale": 5.0}}
    found = call_cost(settings)
    z, names = torch.randn(1, *model.latent_shape(None, None)), ([""], [""])
    inputs = model.conditioning(*names, z.shape[1:], 5.0)
    # The CPU's fused attention has no count.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        GuidedDenoiser(model.network, 5.0)(z, 500, inputs)
    assert found.flops == counter.get_total_flops() > 0
    calls = calls_made({"calls": 3, "gradient_calls": 2})
    expected = 3 * found.flops + 2 * found.gradient_flops
    assert calls.flops(found) == expected > 5 * found.flops


def test_flops_are_also_known_where_the_loading_has_a_list(shapes):
    settings = {"pretrained": "shapes", "guidance_scale": 5.0}
    found = call_cost({"model": settings | {"loading": {"lora": []}}})
    assert found == call_cost({"model": settings}) is not None


@pytest.mark.parametrize("name", ["shapes/none", "no/such-model", "a b", None])
def test_flops_of_a_model_that_is_not_there_are_unknown(name):
    assert call_cost({"model": {"pretrained": name}}) is None


# Which picture is the result ----------------------------------------------------------


def test_best_and_last_mean_the_same_for_every_method(results):
    def after(folder, iterate):
        found = read_methods([folder], iterate=iterate)[0].results
        return {
            (r.after.name, round(r.row["guide_best"], 6), r.row["selector"])
            for r in found.values()
        }

    ours = results("doodl", gains=(0.1,))
    assert after(ours, "best") == {("best.png", 0.4, "guide")}
    theirs = results(
        "one_step", gains=(-0.1,), settings=results.one_step, selector="last"
    )
    for path in theirs.glob("*/metrics.jsonl"):
        path.write_text("")  # `predict` has no updates
    assert after(theirs, None) == after(theirs, "last") == {("best.png", 0.0, "last")}
    assert after(theirs, "best") == {("original.png", 0.2, "guide")}
    for path in ours.glob("*/best.png"):
        path.rename(path.with_name("final.png"))
    assert {name for name, *_ in after(ours, "last")} == {"final.png"}
    assert {selector for *_, selector in after(ours, "last")} == {"last"}


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
