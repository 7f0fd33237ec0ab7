"""Every script in `examples/` runs, on the tests' small world with few steps."""

import csv
import importlib.util
import re
from pathlib import Path

import pytest

from doodl.images import load

EXAMPLES = Path(__file__).parents[1] / "examples"
SHORT = {"num_steps": 4, "num_updates": 1, "mixing": 0.8}
pytestmark = pytest.mark.usefixtures("shapes")


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The `main` of a script, run in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def find(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main

    return find


def manifest(folder):
    with (folder / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


def test_own_losses_make_pictures_of_their_own(example, tmp_path, capsys):
    example("own_loss")(**SHORT)
    folder = tmp_path / "results" / "own_loss"
    assert sorted(p.name for p in folder.iterdir()) == [
        *("blue.png", "dark.png", "original.png")
    ]
    out = capsys.readouterr().out
    dark, _ = (float(x) for x in re.search(r"dark: (\S+) -> (\S+)", out).groups())
    assert dark == pytest.approx(-load(folder / "original.png").mean().item(), abs=2e-3)


def test_a_picture_is_edited(example, tmp_path):
    example("edit_picture")(**SHORT)
    rows = manifest(tmp_path / "results" / "edited")
    assert [row["status"] for row in rows] == ["finished", "finished"]
    assert all(float(row["guide_best"]) >= float(row["guide_first"]) for row in rows)


def test_a_job_goes_on_where_it_stopped(example, tmp_path):
    example("batch_job")(**SHORT)
    folder = tmp_path / "results" / "python"
    rows = manifest(folder)
    assert len(rows) == 12
    (folder / rows[0]["folder"] / "summary.json").unlink()
    times = {p: p.stat().st_mtime_ns for p in folder.glob("*/best.png")}
    example("batch_job")(**SHORT)
    again = [p.parent.name for p, t in times.items() if p.stat().st_mtime_ns != t]
    assert again == [rows[0]["folder"]]
    assert len(manifest(folder)) == 12


def test_every_script_is_tested_and_shown_in_the_documentation():
    tests = Path(__file__).read_text()
    pages = "".join(p.read_text() for p in (EXAMPLES.parent / "docs").rglob("*.md"))
    for script in EXAMPLES.glob("*.py"):
        assert f'example("{script.stem}")' in tests
        assert f"examples/{script.name}" in pages
