"""The benchmarks run, on networks small enough to try them."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
TINY = ["--model", "tiny", "--repeats", "1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options", "line"),
    [
        ("update.py", ["--steps", "2", "--batches", "1"], "checkpoint"),
        (
            "gpu_update.py",
            ["--device", "cpu", "--steps", "2", "--batches", "1", "2"],
            "bfloat16",
        ),
        ("versus_released.py", ["--steps", "2"], "ours B=4"),
    ],
)
def test_a_benchmark_prints_its_table(script, options, line):
    job = subprocess.run(
        [sys.executable, FOLDER / script, *TINY, *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert job.returncode == 0, job.stderr
    assert line in job.stdout
