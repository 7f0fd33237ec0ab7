"""Verdicts: of all that was asked for, on the right picture, by the named judge."""

import csv
import sys

import pytest
import torch
from safetensors.torch import save_file

from doodl.evaluation.folders import read_methods
from doodl.evaluation.scores import Scorers, score
from doodl.evaluation.summary import evaluate
from doodl.images import save
from doodl.shapes.attributes import HEADS
from doodl.shapes.judge import AttributeJudge

VERDICT = {"class_path": "doodl.shapes.judge.AttributeJudge", "init_args": {}}
OWN_JUDGE = """
class Picky:
    def load(self, device="cpu"):
        pass

    def describe(self, pixels):
        return [{"kind": "moon"} for _ in pixels]

    def wanted(self, generation):
        return [{"kind": {"star"}}] if "star" in generation.prompt else None
"""


@pytest.fixture
def sees(monkeypatch):
    """The attribute judge, which sees a red dotted circle, and in black a moon."""

    def describe(self, pixels):
        first = {name: classes[0] for name, classes in HEADS.items()}
        first |= {"layout": "one", "first_colour": "red", "first_pattern": "dotted"}
        kinds = ["moon" if picture.mean() < 0.1 else "circle" for picture in pixels]
        return [first | {"first_kind": kind} for kind in kinds]

    monkeypatch.setattr(AttributeJudge, "load", lambda self, device="cpu": None)
    monkeypatch.setattr(AttributeJudge, "describe", describe)
    network = torch.nn.Linear(1, 1)
    monkeypatch.setattr(AttributeJudge, "network", network, raising=False)


def with_last(folder):
    """Let the best pictures of a folder also be the last ones."""
    for path in folder.glob("*/best.png"):
        (path.parent / "final.png").write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def scored(results):
    """Scores of the last pictures of a job that asked for more than a prompt."""

    def make(name="last", iterate="last", **asked):
        settings = {"command": "fit", "model": {**results.settings["model"]}}
        settings["model"]["verdict"] = VERDICT
        folder = results(name, ("a patterned red circle",), settings=settings, **asked)
        with_last(folder)
        (method,) = read_methods([folder], iterate=iterate)
        return score(method, Scorers())

    return make


@pytest.mark.parametrize(
    ("target", "right", "wrong"),
    [(None, 1, None), ("dotted circle", 1, None), ("striped circle", 0, "target")],
)
def test_the_last_picture_has_to_show_the_class(scored, sees, target, right, wrong):
    for row in scored(target=target).rows.values():
        assert (row["right_after"], row["wrong"]) == (right, wrong)
        assert row["reason"] == (wrong and "not the target asked for")


def test_the_last_picture_has_to_show_the_picture(scored, sees, tmp_path):
    for name, value in (("bright", 1.0), ("black", 0.0)):
        save(torch.full((3, 8, 8), value), tmp_path / f"{name}.png")
    same = scored("same", image=str(tmp_path / "bright.png"))
    other = scored("other", image=str(tmp_path / "black.png"))
    gone = scored("gone", image=str(tmp_path / "gone.png"))
    assert set(same.values("right_after").values()) == {1}
    assert set(other.values("right_after").values()) == {0}
    assert {row["wrong"] for row in other.rows.values()} == {"target"}
    assert gone.values("right_after") == {}
    (note,) = [n for n in gone.method.notes if "no verdict" in n]
    assert "gone.png" in note


def test_a_recorded_verdict_keeps_its_reason_without_the_picture(scored, sees):
    found = scored(iterate=None, image="gone.png", verdict_best=False)
    for row in found.rows.values():
        assert (row["right_after"], row["wrong"]) == (0, "target")


def test_whiteness_is_that_of_the_latents_of_the_picture(results):
    folder = with_last(results("white"))
    for path in folder.glob("*/latents.safetensors"):
        white = torch.randn(2, 4, 16, 16)
        save_file({"best": white, "final": 9 * white}, path)
    norms = {}
    for iterate in ("best", "last"):
        (method,) = read_methods([folder], iterate=iterate)
        values = score(method, Scorers()).values("norm").values()
        norms[iterate] = sum(values) / len(values)
    assert norms["last"] == pytest.approx(9 * norms["best"])


def test_what_selects_pictures_is_noted_unless_all_are_treated_alike(results):
    ours = with_last(results("ours"))
    theirs = results("theirs", settings=results.one_step, selector="last")
    sampled = results("sampled", settings=results.one_step, selector="judge")
    for folder in (theirs, sampled):
        for path in folder.glob("*/metrics.jsonl"):
            path.write_text("")  # `predict` has no updates

    def noted(folders, iterate):
        methods = read_methods(folders, iterate=iterate)
        notes = evaluate([score(m, Scorers()) for m in methods]).notes
        return any("--iterate" in note for note in notes)

    assert noted([ours, theirs], None)
    assert not noted([ours, theirs, sampled], "last")
    assert not noted([ours, sampled], "best")


def test_a_named_judge_of_the_current_folder_replaces_recorded_verdicts(
    results, run, tmp_path, monkeypatch
):
    (tmp_path / "own_judges.py").write_text(OWN_JUDGE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "own_judges", raising=False)
    folder = results(gains=(0.1,))  # recorded: all are right
    printed = run("test", "--results", folder, "--verdict", "own_judges.Picky")
    with (folder / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        star = "star" in row["prompt"]
        assert row["right_after"] == ("0" if star else "")
        assert row["wrong"] == ("object" if star else "")
    assert "0 of 1" in printed
    assert "2 of 4 pictures of doodl have no verdict: the judge cannot read" in printed
    unread = run("test", "--results", folder, "--clip", "none")
    assert "no verdict" not in unread  # a job's own judge need not read every prompt


def test_edits_without_a_prompt_need_no_verdict(results, sees):
    rows = {"image": "a.png", "verdict_first": None, "verdict_best": None}
    (method,) = read_methods([results(prompts=("",), **rows)])
    judge = AttributeJudge()
    judge.load()
    found = score(method, Scorers(judge=judge))
    assert {row["right_after"] for row in found.rows.values()} == {None}
    assert found.values("kept")
    assert not method.notes
