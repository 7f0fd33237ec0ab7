"""Compositions at equal calls: their names, what a budget holds, and one small run."""

import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml

from doodl.configuration import CONFIGS
from doodl.description import describe
from doodl.sampling.ddim import DDIM

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _found(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


def test_every_name_is_a_composition():
    import compositions

    for name in compositions.NAMES:
        made = compositions.composition(name)
        assert made.optimizer([torch.zeros(2, 0, 1, 1, 1)])
    made = compositions.composition("ddim white.07 straight early8x10")
    assert (made.settings["num_steps"], made.early) == (20, (8, 10))
    made = compositions.composition("ddim white.2 straight crops3 T10")
    assert isinstance(made.settings["method"], DDIM)
    assert (made.settings["num_steps"], made.num_cutouts) == (10, 3)


def built(value):
    """An object from its class path and arguments, as a configuration has them."""
    if isinstance(value, list):
        return [built(part) for part in value]
    if not isinstance(value, dict):
        return value
    module, _, name = value["class_path"].rpartition(".")
    given = {k: built(v) for k, v in value.get("init_args", {}).items()}
    return getattr(import_module(module), name)(**given)


def test_the_composition_of_the_tables_is_fast_in_the_shapes_world():
    import compositions

    found = compositions.composition("ddim white.07 straight")
    said = {}
    for name in ("fast", "fast_shapes"):
        said |= yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["model"]
    optimizer, updates = said.pop("optimizer"), said.pop("num_updates")
    assert updates > 0  # a budget of calls sets their number in a table
    assert optimizer["class_path"] == "doodl.rules.LatentOptimizer"
    pair = [torch.zeros(2, 0, 1, 1, 1)]
    optimizer["init_args"]["params"] = pair
    expected = describe(built(optimizer).settings)
    assert describe(found.optimizer(pair).settings) == expected
    expected = {name: describe(built(value)) for name, value in said.items()}
    chosen = {k: describe(v) for k, v in found.settings.items() if v is not None}
    assert chosen == expected
    shared = yaml.safe_load((CONFIGS / "default.yaml").read_text())["multicrop"]
    assert found.num_cutouts == shared["num_cutouts"]
    assert found.early[0] == 0


@pytest.mark.parametrize(
    "name", ["ddim white.2 straight T", "ddim white.2 other", "ddim other straight"]
)
def test_a_name_with_an_unknown_word_is_refused(name):
    import compositions

    with pytest.raises(ValueError, match="^Expected .*, received '"):
        compositions.composition(name)


@pytest.fixture
def made():
    import budgets

    def scores(guide):
        return {**dict.fromkeys(budgets.COLUMNS, 0.0), "guide": guide, "right": -guide}

    line = [scores(guide) for guide in (0.1, 0.9, 0.5)]
    return budgets.Run(100, 10.0, 5.0, 2.5, {("a prompt", 3): line})


@pytest.mark.parametrize(
    ("budget", "each", "guide", "calls"),
    [(10, 5, 0.1, 10), (14, 5, 0.1, 10), (15, 5, 0.9, 15), (99, 5, 0.9, 20)]
    + [(12.5, 2.5, 0.9, 12.5), (99, 0, 0.1, 10)],
)
def test_a_budget_holds_the_guides_favourite_that_it_pays_for(
    made, budget, each, guide, calls
):
    import budgets

    found = budgets.best(made, budget, each)
    key = ("a prompt", 3)
    assert (found["guide"][key], found["right"][key]) == (guide, -guide)
    assert found["calls"][key] == calls


def test_a_budget_below_the_first_rendering_holds_nothing(made):
    import budgets

    assert not any(budgets.best(made, 9, 5).values())


def test_a_curve_has_the_favourite_after_every_rendering(made):
    import budgets

    assert budgets.curve(made, 5, "guide") == [(10, 0.1), (15, 0.9), (20, 0.9)]
    assert budgets.reached(made, 5, "guide", 0.9) == 15
    assert budgets.reached(made, 5, "guide", 0.95) is None


def test_the_calls_to_the_papers_score_are_counted_on_its_own_curve(made):
    import budgets

    quick = replace(made, first=2.0, kept=1.0)
    text = budgets.gains({budgets.PAPER: made, "quick": quick})
    assert "what 2 updates of the paper's rule reach, which take 15:" in text
    assert "| quick, graphs kept | 3 (4.2 × fewer) |" in text
    assert f"| {budgets.PAPER}, graphs kept | 12 (1.0 × fewer) |" in text
    worse = replace(quick, budget=7, scores={k: v[:1] for k, v in made.scores.items()})
    text = budgets.gains({budgets.PAPER: made, "worse": worse})
    assert "| worse, graphs kept | not within 7 |" in text


def test_within_a_quarter_of_the_calls_only_what_they_pay_for_is_compared(made):
    import budgets

    quick = replace(made, first=2.0, kept=1.0, each=1.0)
    slow = replace(quick, first=4.0)
    text = budgets.gains({budgets.PAPER: made, "quick": quick, "slow": slow})
    rows = text.partition("Within a quarter of these calls, less those 2 updates")[2]
    (row,) = (line for line in rows.splitlines() if "quick" in line)
    assert row.startswith("| quick | 0.000")  # its second rendering, for 3 calls
    assert row.endswith("| 3 |")
    assert "slow" not in rows
    assert budgets.PAPER not in rows


def test_the_rarest_caption_comes_first(world, monkeypatch):
    import hardest

    class Judge:
        def __init__(self, model):
            pass

        def load(self):
            pass

        def verdicts(self, pixels, generations):
            assert len(pixels) == len(generations)
            return [generation.prompt == "often" for generation in generations]

    monkeypatch.setattr(hardest, "AttributeJudge", Judge)
    monkeypatch.setattr(hardest, "STEPS", 2)
    found = hardest.rates(["often", "rare"], 2, world)
    assert list(found.items()) == [("rare", 0.0), ("often", 1.0)]


def test_the_demonstration_has_prompts_of_no_table():
    import hardest

    shown = yaml.safe_load((CONFIGS / "shapes.yaml").read_text())["data"]
    assert shown["seeds"] == [0, 1]
    assert len(shown["prompts"]) == 3
    assert set(shown["prompts"]) <= set(hardest.prompts())


def test_best_of_n_has_the_samples_that_the_updates_pay_for():
    import tables

    sampled = tables.load("text", updates=10).methods["best_of_N"]
    assert sampled[-2:] == ["--model.baseline.samples", "50"]  # 2 * 10 * 2.4 + 2


def test_the_picture_shows_every_run(made, tmp_path):
    import budgets
    import quality_picture

    single = replace(made, each=0.0)
    quality_picture.draw({budgets.PAPER: made, "a point": single}, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert budgets.PAPER in text
    assert "a point" in text


def test_a_saved_run_is_read_with_the_generations_that_are_asked_for(made, tmp_path):
    import budgets

    path = tmp_path / "there" / "a name.json"
    (line,) = made.scores.values()
    one, two, three = (("a prompt", seed) for seed in (3, 4, 5))
    budgets.save(replace(made, scores={one: line, two: line}), path)
    assert budgets.load(path, {one}) == made
    assert budgets.load(path, {one, three}) is None
    assert budgets.load(tmp_path / "none.json", {one}) is None


@pytest.mark.slow
@pytest.mark.parametrize("application", ["clip_text", "classifier"])
def test_it_runs_once_and_prints_a_table_for_every_budget(world, tmp_path, application):
    names = ["ddim white.2 straight", "best of n", "one step 10"]
    names += ["ddim white.07 straight early2x5"]
    options = ["--model", str(world), "--prompts", "2", "--budgets", "50", "100"]
    options += ["--application", application, "--folder", str(tmp_path)]

    def printed():
        script = [sys.executable, BENCHMARKS / "quality_per_call.py", *names, *options]
        return subprocess.run(script, capture_output=True, text=True, check=True).stdout

    first = printed()
    assert first.count("running") == len(names)
    assert "### 50 calls an image" in first
    assert "### 100 calls an image" in first
    again = printed()
    assert "running" not in again
    assert again in first
