"""Damaged files and wrong arguments: one sentence each, before anything is scored."""

import json
import re

import pytest
import torch
from PIL import Image

from doodl.evaluation.metrics import distances
from doodl.images import save

RECORDS = "doodl.evaluation.records"
QUESTION = dict.fromkeys(("id", "prompt", "seed", "left", "right"), "a")


@pytest.fixture
def unscored(monkeypatch):
    """Nothing may be scored: a refusal has to come before."""
    monkeypatch.setattr("doodl.evaluation.command.scored", None)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[1]", b'{"guide": 1}'])
def test_damaged_scores_of_updates_are_named(results, refused, unscored, content):
    folder = results()
    path = sorted(folder.glob("*/metrics.jsonl"))[1]
    path.write_bytes(content)
    for command in (["test", "--results"], ["report"]):
        for more in ([], ["--iterate", "last"]):
            message = refused(*command, folder, *more)
            assert f"in '{path}', found a damaged file; delete" in message


@pytest.mark.parametrize("content", [b"", b"x", None])
def test_damaged_latents_are_named(results, refused, unscored, content):
    folder = results()
    path = sorted(folder.glob("*/latents.safetensors"))[1]
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    message = refused("test", "--results", folder)
    assert f"in '{path}', found a damaged file; delete" in message


def test_what_cannot_be_used_is_missing(results, run):
    folder = results()
    first, second, *_ = sorted(folder.glob("*/summary.json"))
    row = json.loads(first.read_text())
    first.write_text(json.dumps({k: v for k, v in row.items() if k != "prompt"}))
    second.with_name("timing.json").write_text("[1]")
    printed = run("test", "--results", folder)
    assert f"lacks 1 of 4 generations, whose summaries cannot be read: {row['id']}" in (
        printed
    )
    lines = (folder / "evaluation.csv").read_text().splitlines()
    column = lines[0].split(",").index("seconds")
    assert sorted(line.split(",")[column] for line in lines[1:]) == ["", "2", "2"]


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "latents.safetensors", "best.png", "settings.json"]
)
def test_a_file_of_another_user_is_not_called_damaged(
    results, refused, monkeypatch, name
):
    folder = results()
    path = folder / name if name == "settings.json" else next(folder.glob(f"*/{name}"))

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    reading = {
        "best.png": "PIL.Image.open",
        "latents.safetensors": f"{RECORDS}.safe_open",
    }
    monkeypatch.setattr(reading.get(name, "pathlib.Path.read_text"), denied)
    message = refused("test", "--results", folder)
    assert "Expected a file that this user may read, received" in message
    assert "delete" not in message


@pytest.mark.parametrize(
    ("questions", "answers"),
    [
        *((5, {}), (["x"], {}), ([{"id": "1"}], {}), ([], []), ([], None)),
        *(([QUESTION | {name: value}], {}) for name in QUESTION for value in ([1], 1)),
    ],
)
def test_a_rating_sheet_of_another_kind_is_a_sentence(
    refused, tmp_path, questions, answers
):
    key, rated = tmp_path / "key.json", tmp_path / "rated.json"
    key.write_text(json.dumps({"sheet": "a", "questions": questions}))
    rated.write_text(json.dumps({"sheet": "a", "answers": answers}))
    message = refused("test", "--ratings", rated, "--sheet", key)
    assert re.search(
        r"Expected (the questions|answers) .*; give the file that", message
    )


@pytest.mark.parametrize(
    "verdict",
    [
        {"class_path": "doodl.cli.main"},
        {"class_path": "doodl.shapes.judge.AttributeJudge", "init_args": 5},
        {"class_path": "doodl.shapes.judge.AttributeJudge", "init_args": {"foo": 1}},
    ],
)
def test_settings_of_a_stranger_run_nothing_and_give_a_sentence(
    results, run, refused, verdict
):
    folder = results(settings={"model": {"verdict": verdict}})
    command = ("test", "--results", folder, "--clip", "none")
    if verdict["class_path"].endswith("main"):
        assert "Evaluation" in run(*command)
    else:
        message = refused(*command)
        assert "arguments that doodl.shapes.judge.AttributeJudge takes" in message


@pytest.mark.parametrize("cut", [0, 30])
def test_a_picture_that_is_none_is_named(refused, tmp_path, cut):
    folder = tmp_path / "bare"
    save(torch.rand(3, 8, 8), folder / "a.png")
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:cut])
    message = refused("test", "--results", folder)
    assert f"Expected a picture in '{folder / 'a.png'}', found a damaged" in message


@pytest.mark.parametrize(
    "content",
    [
        *("", "5", "data: [", "data: 5", "data: {prompts: [1]}", "data: &a [*a]"),
        *("data: {prompts: [a], negative_prompt: [b]}", "data: {prompts: /dev/zero}"),
        *("data: {prompts: [a], seeds: 0-999999999}", "data: !!python/name:os.system"),
    ],
)
def test_a_strange_configuration_plans_nothing(results, run, content):
    folder = results()
    (folder / "config.yaml").write_text(content)
    assert "unfinished" not in run("test", "--results", folder)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_a_picture_that_is_cut_off_is_refused_before_scoring(
    refused, unscored, tmp_path, suffix
):
    folder, path = tmp_path / "bare", tmp_path / "bare" / f"a{suffix}"
    folder.mkdir()
    Image.effect_noise((64, 64), 99).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    (folder / "prompts.txt").write_text("a fox\n")
    message = refused("test", "--results", folder)
    assert f"Expected a picture in '{path}', found a damaged" in message
    assert "replace or delete it" in message


def test_a_picture_that_would_exhaust_the_memory_is_not_called_damaged(
    refused, unscored, tmp_path, monkeypatch
):
    folder = tmp_path / "bare"
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    (folder / "prompts.txt").write_text("a fox\n")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    message = refused("test", "--results", folder)
    assert f"of a usual size in '{folder / 'a.png'}'" in message
    assert "scale it down" in message


def test_a_folder_that_cannot_be_written_is_refused(results, refused, unscored):
    for command in (["test", "--results"], ["report"]):
        message = refused(*command, results(command[0]), "--output", "/proc/self")
        assert "Could not write into the folder '/proc/self'" in message
        assert "choose another with --output" in message


def test_arguments_are_refused_before_scoring(
    results, refused, unscored, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder, none = results(), tmp_path / "none"
    save(torch.rand(3, 8, 8), tmp_path / "real" / "one.png")
    for options, part in (
        (["--lpips", "resnet"], "alex, vgg, squeeze, received 'resnet'"),
        (["--lpips", "alex"], "not there"),
        (["--references", none], f"in the folder '{none}', found none; give"),
        (["--references", tmp_path / "real"], "not there"),
    ):
        assert part in refused("test", "--results", folder, *options)


def test_real_pictures_may_have_any_size(tmp_path, generator):
    class Means(torch.nn.Module):
        num_features = 3

        def forward(self, pixels):
            assert pixels.shape[-2:] == (8, 6)
            return pixels.mean(dim=(2, 3))

    paths = {"made": [], "real": []}
    for number in range(8):
        colour = torch.rand(3, 1, 1, generator=generator)
        sizes = {"made": (8, 6), "real": (8 + number, 20 - number)}
        for name, size in sizes.items():
            paths[name].append(tmp_path / name / f"{number}.png")
            save(colour.expand(3, *size), paths[name][-1])
    found = distances(paths["real"], paths["made"], Means())
    assert found["fid"] == pytest.approx(0, abs=1e-4)
