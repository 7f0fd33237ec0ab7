"""Files that strangers made: odd names, values and pictures give no foreign error."""

import csv
import json
import os
import sys
import warnings

import pytest
import torch
from PIL import Image

from doodl.evaluation.cells import number
from doodl.evaluation.cost import call_cost
from doodl.evaluation.folders import read_methods
from doodl.images import save
from doodl.terminal import HARMFUL

JUDGE = """
class Odd:
    def load(self, device="cpu"):
        pass

    def describe(self, pixels):
        return {described}

    def wanted(self, generation):
        return {wanted}
"""


@pytest.fixture
def loud():
    """Warnings of NumPy and matplotlib are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", UserWarning)
        yield


def manifest(folder, *rows, side=8):
    """Write a folder of another program: a manifest, and its pictures."""
    for k in range(len(rows)):
        save(torch.full((3, side, side), (k + 1) / 8), folder / f"{k}.png")
    columns = sorted({name for row in rows for name in row})
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "picture", *columns])
        writer.writeheader()
        for k, row in enumerate(rows):
            plain = {"prompt": f"prompt {k}", "picture": f"{k}.png"}
            writer.writerow(plain | row)
    return folder


def table(folder):
    with (folder / "evaluation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# Values -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, '{"seconds": 2, "prompt": "other"}', "[1]"])
def test_only_seconds_are_read_of_a_timing(results, run, content):
    folder = results()
    for path in folder.glob("*/timing.json"):
        path.unlink()
        os.mkfifo(path) if content is None else path.write_text(content)
    for command in (["test", "--results"], ["report"]):
        run(*command, folder)
    assert {row["prompt"] for row in table(folder)} == {"a red circle", "a blue star"}
    seconds = {row["seconds"] for row in table(folder)}
    assert seconds == ({"2"} if content and "2" in content else {""})


def test_other_values_of_a_timing_change_no_row(results, run):
    folder = results()
    odd = {"seconds": "x", "calls": 1, "judge_best": 9, "status": "failed"}
    for path in folder.glob("*/timing.json"):
        path.write_text(json.dumps(odd))
    run("test", "--results", folder)
    for row in table(folder):
        assert (row["calls"], row["judge_after"], row["status"]) == (
            "32",
            "0.6",
            "finished",
        )


@pytest.mark.parametrize("value", [10**400, float("inf"), "1e999", -1e308, "nan", []])
def test_what_is_no_finite_number_is_unknown(value):
    assert number(value) != number(value)


def test_numbers_that_overflow_are_left_out(results, run, loud):
    frames = [torch.full((3, 8, 8), k, dtype=torch.uint8) for k in range(3)]
    folder = results(calls=10**400, films=frames)
    for path in folder.glob("*/metrics.jsonl"):
        path.write_text(path.read_text().replace("0.5,", "Infinity,"))
        assert "Infinity" in path.read_text()
    run("report", folder)
    assert "Infinity" not in (folder / "report" / "index.html").read_text()
    run("test", "--results", folder)
    assert {row["calls"] for row in table(folder)} == {""}


@pytest.mark.parametrize("value", ["inf", "1e308", "1e100", "-1e99"])
def test_huge_scores_of_a_manifest_warn_of_nothing(run, tmp_path, loud, value):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rows = [{"judge": value, "calls": value, "seconds": value}, {"judge": 1}]
        rows += [{"judge": -2, "calls": 3}, {"judge": 0.5, "calls": 5}]
        manifest(tmp_path / name, *rows)
    folders = [tmp_path / "one", tmp_path / "two"]
    run("test", "--results", *folders)
    run("report", *folders)
    if value in ("inf", "1e308"):
        assert table(folders[0])[0]["judge_after"] == ""


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("NoSuchPipeline", {}), ("FluxPipeline", {}), (5, {}), (None, {"height": [1]})],
)
def test_the_cost_of_a_strange_model_is_unknown(tmp_path, kind, changes):
    index = {"_class_name": kind, "unet": ["diffusers", "NoSuchNetwork"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    model = {"pretrained": str(tmp_path)} | changes
    assert call_cost({"model": model}) is None
    assert call_cost({"model": {"pretrained": "a" * 300}}) is None


@pytest.mark.parametrize("model", [5, ["x"], None])
def test_arguments_of_a_judge_of_another_type_are_a_sentence(results, refused, model):
    verdict = {"class_path": "doodl.shapes.judge.AttributeJudge"}
    verdict["init_args"] = {"model": model}
    folder = results(settings={"model": {"verdict": verdict}})
    message = refused("test", "--results", folder)
    assert "arguments that doodl.shapes.judge.AttributeJudge takes" in message


def test_pictures_without_any_score_are_said(run, tmp_path):
    folder = manifest(tmp_path / "one", {}, {})
    printed = run("test", "--results", folder)
    assert "No score is known of one: name the CLIP" in printed
    manifest(folder, {"judge": 1}, {"judge": 2})
    assert "No score" not in run("test", "--results", folder)


def test_originals_that_a_manifest_names_and_lacks_are_said(run, tmp_path):
    manifest(tmp_path, {"original": "0.png"}, {"original": "gone.png"}, {})
    printed = run("test", "--results", tmp_path)
    assert "lacks the originals of 1 of 3 generations" in printed


# Names --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "a\0b"])
def test_a_picture_whose_name_no_file_can_have_is_missing(run, refused, tmp_path, name):
    manifest(tmp_path, {}, {"picture": name}, {"picture": "1.png", "original": name})
    assert "lacks the pictures of 1 of 3 generations" in run(
        "test", "--results", tmp_path
    )
    manifest(tmp_path, {"picture": name})
    assert "found none of the 1" in refused("test", "--results", tmp_path)


def test_a_row_that_is_cut_off_has_no_prompt(run, tmp_path):
    manifest(tmp_path, {}, {})
    (tmp_path / "manifest.csv").write_text("picture,prompt\n0.png,a\n1.png\n")
    run("test", "--results", tmp_path)
    assert [row["prompt"] for row in table(tmp_path)] == ["", "a"]
    (method,) = read_methods([tmp_path])
    assert [result.prompt for result in method.results.values()] == ["a", ""]


def test_a_folder_that_is_a_link_to_itself_is_none(results, refused, tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for command in (["test", "--results"], ["report"]):
        message = refused(*command, results(command[0]), loop)
        assert f"received '{loop}'; there is none" in message
    message = refused("test", "--ratings", loop, "--sheet", loop)
    assert f"rating sheet at '{loop}'; Too many" in message


def test_names_cannot_alter_a_terminal_or_a_table(results, run):
    odd = "f\x1b[2J\u202e\ng | h"
    one, other = results(odd), results("plain")
    printed = run("test", "--results", one, other, "--against", odd)
    printed += run("report", one, other)
    assert not HARMFUL.search(printed)
    assert "| f\\x1b[2J\\u202e g \\| h |" in printed
    assert printed.count("Written: ") == 2
    assert printed.splitlines()[-1].startswith("Written: ")


def test_names_may_have_any_script(results, run, loud):
    run("report", results("心"), results("b"))


def test_names_of_a_rating_sheet_cannot_alter_a_terminal(results, run, tmp_path):
    one, other = results("one"), results("other")
    run("report", one, other)
    key = one / "report" / "sheet_key.json"
    sheet = json.loads(key.read_text())
    for question in sheet["questions"]:
        question |= {"left": "a\x1b[2J\n", "right": "b\u202e"}
    key.write_text(json.dumps(sheet))
    answers = tmp_path / "answers.json"
    given = {question["id"]: "left" for question in sheet["questions"]}
    answers.write_text(json.dumps({"sheet": sheet["sheet"], "answers": given}))
    printed = run("test", "--ratings", answers, "--sheet", key)
    assert "| a\\x1b[2J against b\\u202e |" in printed


def test_names_of_a_judge_cannot_alter_a_terminal(run, results, own_judge):
    own_judge('[{"a\\x1b[2J": "x"} for _ in pixels]', '[{"a\\x1b[2J": {"y"}}]')
    printed = run("test", "--results", results(), "--verdict", "odd_judges.Odd")
    assert "| a\\x1b[2J | 4 |" in printed


# Judges -------------------------------------------------------------------------------


@pytest.fixture
def own_judge(tmp_path, monkeypatch):
    """Writes the user's own judge `odd_judges.Odd`."""

    def write(described, wanted="[{'kind': {'star'}}]", before=""):
        text = JUDGE.format(described=described, wanted=wanted)
        (tmp_path / "odd_judges.py").write_text(before + text)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "odd_judges", raising=False)
    yield write
    sys.modules.pop("odd_judges", None)


@pytest.mark.parametrize(
    ("described", "wanted", "sentence"),
    [
        ("[]", "None", "a list of 4 dicts, one a picture, from Odd.describe, received"),
        ("None", "None", "from Odd.describe, received None; return"),
        ("[{'kind': 1}] * len(pixels)", "None", "from Odd.describe, received [{"),
        ("['moon'] * len(pixels)", "None", "from Odd.describe, received ['moon'"),
        (
            "[{'size': 'big'}] * len(pixels)",
            "[{'kind': {'star'}}]",
            "the class of 'kind' from Odd.describe, as",
        ),
        ("[{'kind': 'a'}] * len(pixels)", "{'kind': {'a'}}", "from Odd.wanted, receiv"),
        ("[{'kind': 'a'}] * len(pixels)", "[{'kind': 'a'}]", "from Odd.wanted, receiv"),
        ("[{'kind': 'a'}] * len(pixels)", "5", "from Odd.wanted, received 5; return"),
    ],
)
def test_what_an_own_judge_returns_is_checked(
    results, refused, own_judge, described, wanted, sentence
):
    own_judge(described, wanted)
    message = refused("test", "--results", results(), "--verdict", "odd_judges.Odd")
    assert sentence in message


@pytest.mark.parametrize(
    ("described", "wanted"),
    [
        ("[{}] * len(pixels)", "None"),
        ("[{'first_kind': 'a'}] * len(pixels)", "[{'first_kind': ['b']}]"),
        ("[{str(p.mean()): 'a'} for p in pixels]", "[]"),
    ],
)
def test_an_own_judge_may_name_any_attributes(
    results, run, own_judge, described, wanted
):
    own_judge(described, wanted)
    run("test", "--results", results(), "--verdict", "odd_judges.Odd")


def test_a_judge_that_cannot_be_imported_is_not_called_missing(
    results, refused, own_judge
):
    own_judge("[]", before="import nope_pkg\n")
    command = ("test", "--results", results(), "--verdict")
    message = refused(*command, "odd_judges.Odd")
    assert message.startswith("Could not import the judge 'odd_judges.Odd' (odd_judges")
    assert "line 1): No module named 'nope_pkg'; correct" in message
    own_judge("[]")
    assert "There is no judge 'odd_judges.Eve'" in refused(*command, "odd_judges.Eve")


# Pictures -----------------------------------------------------------------------------


def bare(folder, **sizes):
    for name, size in sizes.items():
        save(torch.rand(3, *size), folder / f"{name}.png")
    (folder / "prompts.txt").write_text("".join(f"{name}\n" for name in sizes))
    return folder


def test_a_picture_of_another_format_is_named(refused, tmp_path):
    bare(tmp_path, a=(8, 8))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", format="EPS")
    message = refused("test", "--results", tmp_path)
    assert "none of PNG, JPEG, WEBP, GIF, TIFF, BMP; replace" in message


def test_a_text_of_a_picture_that_is_nested_too_deeply_is_none(refused, tmp_path):
    save(torch.rand(3, 8, 8), tmp_path / "a.png", {"doodl": "[" * 100_000})
    assert "No prompt is known" in refused("test", "--results", tmp_path)


def test_a_picture_larger_than_webp_is_shrunk(run, tmp_path):
    run("report", bare(tmp_path, a=(3, 17_000)))
    sizes = set()
    for path in (tmp_path / "report" / "pictures").iterdir():
        with Image.open(path) as file:
            sizes.add(file.size)
    assert sizes == {(16383, 3), (256, 1)}


def test_a_broken_report_is_repaired(run, results, tmp_path):
    frames = [torch.full((3, 8, 8), k, dtype=torch.uint8) for k in range(3)]
    folders = bare(tmp_path / "f", a=(300, 400)), results(films=frames)
    for folder in folders:
        run("report", folder)
        copies = sorted((folder / "report" / "pictures").iterdir())
        before = {path: path.read_bytes() for path in copies}
        assert all(before.values())
        for k, path in enumerate(copies):
            path.write_bytes(b"") if k % 2 else path.unlink()
        run("report", folder)
        assert {path: path.read_bytes() for path in copies} == before


def test_the_larger_copy_is_written_last(run, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "doodl.evaluation.pictures.write", lambda path, _: written.append(path.name)
    )
    run("report", bare(tmp_path, a=(300, 400)))
    small, large = written
    assert small.replace("-s", "") == large
