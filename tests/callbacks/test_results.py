"""What is on the disk afterwards, and what is never there."""

import csv
import json
import math
import os

import pytest
from PIL import Image
from safetensors.torch import load_file

from doodl import images
from doodl.callbacks import Results
from doodl.files import write
from doodl.guides import Guide, Symmetry

FILES = ["best.png", "final.png", "latents.safetensors", "metrics.jsonl"]
FILES += ["original.png", "summary.json", "timing.json"]

COLUMNS = (
    *("id", "prompt", "seed", "status", "updates"),
    *("guide_first", "guide_best", "judge_first", "judge_best"),
    *("verdict_first", "verdict_best", "selector", "folder"),
)


class Blind(Guide):
    """Scores nothing."""

    def forward(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3))

    def score(self, pixels, targets):
        return math.nan * self(pixels, targets)


class Halves:
    """A verdict: only a prompt with `red` in it is ever right."""

    def load(self, device):
        pass

    def verdicts(self, pixels, generations):
        return ["red" in g.prompt or None for g in generations]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "results"


@pytest.fixture
def saved(fit, folder):
    return lambda *args, **keys: fit(*args, callbacks=[Results(str(folder))], **keys)


def manifest(folder):
    with (folder / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_generation_has_a_folder_and_a_row(saved, folder):
    trajectory = saved().kept[0]
    ids = [g.id for g in trajectory.generations]
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*ids, "manifest.csv", "settings.json", "timings.csv"]
    )
    for name in ids:
        assert sorted(p.name for p in (folder / name).iterdir()) == FILES
    assert sorted(row["id"] for row in manifest(folder)) == sorted(ids)


def test_the_manifest_has_the_scores_of_the_first_and_the_chosen_picture(saved, folder):
    trajectory = saved(judge=Symmetry(), verdict=Halves(), num_updates=3).kept[0]
    rows = {row["id"]: row for row in manifest(folder)}
    for i, generation in enumerate(trajectory.generations):
        first, best = trajectory.first[i], trajectory.best[i]
        row = rows[generation.id]
        assert tuple(row)[:13] == COLUMNS
        assert (row["prompt"], row["seed"]) == (generation.prompt, "0")
        assert (row["status"], row["updates"]) == ("finished", "3")
        assert (row["selector"], row["folder"]) == ("guide", generation.id)
        assert float(row["guide_first"]) == first.guide
        assert float(row["guide_best"]) == best.guide
        assert float(row["judge_first"]) == first.judge
        assert float(row["judge_best"]) == best.judge
        red = "True" if "red" in generation.prompt else ""
        assert (row["verdict_first"], row["verdict_best"]) == (red, red)


def test_pictures_are_the_snapshots_and_know_where_they_come_from(saved, folder):
    trajectory = saved(num_updates=3).kept[0]
    for i, generation in enumerate(trajectory.generations):
        shots = {"original": trajectory.first, "best": trajectory.best}
        for name, kept in (shots | {"final": trajectory.last}).items():
            path = folder / generation.id / f"{name}.png"
            difference = images.load(path) - kept[i].pixels
            assert difference.abs().max() <= 0.5 / 255 + 1e-6
            text = json.loads(Image.open(path).text["doodl"])
            assert text["update"] == kept[i].update
            assert text["prompt"] == generation.prompt
            assert text["seed"] == generation.seed


def test_saved_latents_make_the_saved_picture_again(saved, folder):
    module = saved()
    for i, generation in enumerate(module.kept[0].generations):
        pair = load_file(folder / generation.id / "latents.safetensors")["best"]
        batch = module.renderer.prepare([generation])
        final = module.renderer.sample(pair[:, None], batch)
        picture = module.renderer.decode(final[:1])[0, 0]
        difference = picture - module.kept[0].best[i].pixels
        assert difference.abs().max() < 1e-4


def test_metrics_have_every_update(saved, folder):
    module = saved(num_updates=2, judge=Symmetry())
    for i, generation in enumerate(module.kept[0].generations):
        text = (folder / generation.id / "metrics.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["update"] for line in lines] == [0, 1, 2]
        guide = [line["guide"] for line in lines]
        assert guide == [r.guide[i].item() for r in module.renderings]
        assert {"loss", "pair_gap", "latent_norm", "judge"} <= set(lines[0])


def test_seconds_have_a_file_of_their_own(saved, folder):
    saved()
    with (folder / "timings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [row["id"] for row in manifest(folder)]
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_equal_runs_write_equal_manifests(fit, tmp_path):
    texts = []
    for name in ("one", "other"):
        fit(callbacks=[Results(str(tmp_path / name))])
        texts.append((tmp_path / name / "manifest.csv").read_bytes())
    assert texts[0] == texts[1]


def test_a_run_makes_what_is_missing_and_keeps_what_is_there(saved, folder, counted):
    saved(["a"])
    before = {p: p.stat().st_mtime_ns for p in folder.glob("a-*/*")}
    calls = len(counted.grad)
    saved(["a", "b"], batch_size=1)
    assert {p: p.stat().st_mtime_ns for p in folder.glob("a-*/*")} == before
    assert len(counted.grad) == 2 * calls
    assert {row["prompt"] for row in manifest(folder)} == {"a", "b"}


def test_a_finished_run_loads_nothing_and_reports_again(
    saved, folder, monkeypatch, capsys
):
    saved()
    first = capsys.readouterr().out
    monkeypatch.setattr("doodl.pretrained.load_text_to_image", pytest.fail)
    saved()
    assert capsys.readouterr().out.splitlines()[-4:] == first.splitlines()[-4:]


def test_a_folder_of_other_settings_is_refused_with_what_differs(saved, folder):
    saved()
    with pytest.raises(ValueError, match="num_updates was 2, is 3; choose another"):
        saved(num_updates=3)
    with pytest.raises(ValueError, match="command was fit, is predict"):
        saved(stage="predict")


def test_sampled_generations_are_written_too(saved, folder):
    saved(stage="predict")
    assert [(r["status"], r["updates"]) for r in manifest(folder)] == [
        ("sampled", "0")
    ] * 2
    pictures = sorted(p.name for p in folder.glob("a-blue*/*.png"))
    assert pictures == ["best.png", "final.png", "original.png"]


def test_a_failed_generation_says_why_and_has_no_pictures(saved, folder, capsys):
    trajectory = saved(guide=Blind()).kept[0]
    for row in manifest(folder):
        assert row["status"] == "failed"
        assert row["reason"] == "the image's score is not finite"
        assert row["guide_first"] == row["guide_best"] == ""
    place = folder / trajectory.generations[0].id
    assert not list(place.glob("*.png"))
    for line in (place / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    assert "the image's score" in capsys.readouterr().out


@pytest.mark.parametrize(
    "prompt",
    ["a [/red] [bold]ring", "ein größerer Kreis 円", 'two\nlines, and "commas"'],
)
def test_any_prompt_is_reported_as_it_is(saved, folder, capsys, prompt):
    saved([prompt], num_updates=1)
    (row,) = manifest(folder)
    assert row["prompt"] == prompt
    text = Image.open(folder / row["folder"] / "best.png").text["doodl"]
    assert json.loads(text)["prompt"] == prompt
    assert prompt.split()[1] in capsys.readouterr().out


def test_the_report_names_scores_and_places(saved, folder, capsys):
    first = saved().kept[0].first[0]
    out = capsys.readouterr().out
    assert f"{first.guide:.3f} →" in out
    assert f"Pictures and manifest.csv: {folder}" in out


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write(path, b"old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_results_folder_that_is_a_file_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be made, since '.*file' is a file"):
        Results(str(tmp_path / "file" / below))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="as root")
def test_a_folder_that_cannot_be_written_is_refused(fit, tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setattr("doodl.pretrained.load_text_to_image", pytest.fail)
    with pytest.raises(ValueError, match="Cannot write to the results folder"):
        fit(callbacks=[Results(str(tmp_path / "results"))])


def test_a_folder_on_a_full_disk_is_refused_before_networks_load(
    fit, folder, monkeypatch
):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("doodl.jobs.archive.write", full)
    monkeypatch.setattr("doodl.pretrained.load_text_to_image", pytest.fail)
    with pytest.raises(ValueError, match="No space left on device"):
        fit(callbacks=[Results(str(folder))])


def test_network_calls_are_counted_as_they_are_made(saved, folder, counted):
    saved(num_updates=3)
    for row in manifest(folder):
        assert int(row["calls"]) == len(counted.no_grad) > 0
        assert int(row["gradient_calls"]) == len(counted.grad) > 0
        lines = (folder / row["id"] / "metrics.jsonl").read_text().splitlines()
        grown = [json.loads(line)["gradient_calls"] for line in lines]
        assert grown == [len(counted.grad) * u // 3 for u in range(4)]


def test_the_job_that_is_finished_writes_its_report(fit, tmp_path, capsys):
    settings = {"num_updates": 1, "judge": Symmetry()}
    fit(callbacks=[Results(str(tmp_path / "plain"))], **settings)
    assert not (tmp_path / "plain" / "report").exists()
    fit(callbacks=[Results(str(tmp_path / "shown"), report=True)], **settings)
    page = tmp_path / "shown" / "report" / "index.html"
    assert "a blue star" in page.read_text()
    assert str(page) in capsys.readouterr().out


def test_a_report_that_cannot_be_written_does_not_undo_the_job(fit, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "report").write_text("in the way")
    with pytest.warns(UserWarning, match="report could not be written"):
        fit(callbacks=[Results(str(folder), report=True)], num_updates=1)
    assert len(manifest(folder)) == 2
