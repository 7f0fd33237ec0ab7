"""The benchmarks run, on networks small enough to try them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from doodl.guides import Symmetry
from doodl.images import load, save
from doodl.pretrained.outline import outline
from doodl.render_settings import RenderSettings
from doodl.rendering import Renderer

FOLDER = Path(__file__).parents[1] / "benchmarks"
TINY = ["--model", "tiny", "--repeats", "1"]


def printed(script, *options, cwd=None):
    job = subprocess.run(
        [sys.executable, FOLDER / script, *options],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        cwd=cwd,
    )
    assert job.returncode == 0, job.stderr
    return job.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("script", "options", "line"),
    [
        ("update.py", ["--steps", "2", "--batches", "1"], "checkpoint"),
        (
            "gpu_update.py",
            ["--device", "cpu", "--steps", "2", "--batches", "1", "2"],
            "bfloat16",
        ),
        (
            "versus_released.py",
            ["--steps", "2", "--repeats", "1", "--threads", "1"],
            "B=4, budget",
        ),
    ],
)
def test_a_benchmark_prints_its_table(script, options, line):
    assert line in printed(script, *TINY, *options)


@pytest.mark.slow
def test_calls_on_a_large_model_are_counted_without_weights():
    found = printed("large_model.py")
    assert "| `--config paper` | 17100 |" in found
    assert "| `--config fast` | 2550 |" in found


@pytest.mark.slow
def test_the_gradient_of_a_large_call_takes_what_its_constant_says(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(FOLDER)
    from large_model import counted, write_configurations

    write_configurations(tmp_path)
    model = outline(str(tmp_path), torch.float16)
    call, _ = counted(Renderer(model, RenderSettings(Symmetry(), num_steps=2)))
    assert call.gradient_flops / call.flops - 1 == pytest.approx(1.15, abs=0.005)


def test_a_sheet_shows_one_seed_of_as_many_prompts_as_fit(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from picture import _spread

    rows = [{"prompt": p, "seed": s} for p in "abc" for s in "01"]
    shown = [[row["prompt"] + row["seed"] for row in _spread(rows, n)] for n in (3, 4)]
    assert shown == [["a0", "b0", "c0"], ["a0", "a1", "b0", "c0"]]
    many = [{"prompt": p, "seed": "0"} for p in "abcdefg"]
    assert [row["prompt"] for row in _spread(many, 3)] == ["a", "c", "e"]
    pictures = [{"prompt": "", "seed": "0"}] * 5
    assert len(_spread(pictures, 4)) == 4


SHORT = ["--updates", "1", "--model.num_steps", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("application", ["classifier", "aesthetic_edit"])
def test_applications_are_swept_and_drawn(application, tmp_path):
    one = [application, *SHORT, "--prompts", "1"]
    only = ["--only", "as configured", "one step 3"]
    table = printed("sweep.py", *one, *only, cwd=tmp_path)
    assert [line[:10] for line in table.splitlines()[-2:]] == [
        "as configu",
        "one step 3",
    ]
    folder = tmp_path / "results" / "sweep" / application / "as_configured"
    printed("picture.py", folder, tmp_path / "sheet.png")
    assert load(tmp_path / "sheet.png").shape[0] == 3


@pytest.mark.slow
def test_scaling_is_measured_and_simulated(tmp_path):
    table = printed("scaling.py", "--prompts", "3", "--updates", "1", cwd=tmp_path)
    assert [line.split()[0] for line in table.splitlines() if line] == [
        *("processes", "1", "2"),
        *("ranks", "8", "64", "1024"),
    ]


def test_equal_and_different_results_are_told_apart(tmp_path):
    for name, value in (("one", 0.0), ("same", 0.0), ("other", 0.5)):
        save(torch.full((3, 4, 4), value), tmp_path / name / "a" / "best.png")
    run = [sys.executable, FOLDER / "same_results.py", tmp_path / "one"]
    equal = subprocess.run([*run, tmp_path / "same"], check=False)
    other = subprocess.run([*run, tmp_path / "other"], check=False)
    assert (equal.returncode, other.returncode) == (0, 1)


@pytest.mark.slow
def test_the_share_of_the_manifest_is_measured():
    line = printed("manifest.py", "--generations", "50", "--processes", "2")
    assert line.startswith("50 generations of 10 s on 2 processes: ")
    share = float(line.partition(" = ")[2].partition("%")[0])
    assert 0 < share < 1


def test_the_style_of_the_source_is_measured():
    head, rule, row = printed("style.py").splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    assert row.startswith("| ours | ")
