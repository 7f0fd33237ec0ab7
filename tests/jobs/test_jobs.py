"""Whole commands: several processes, signals, and kills at any moment."""

import csv
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml

from processes import end, kill_group, start

COMMAND = [sys.executable, "-W", "ignore", "-m", "doodl", "fit", "--config", "job.yaml"]
PROMPTS = ["a red circle", "a blue star", "a green heart"]


@pytest.fixture
def job(world, tmp_path):
    """A folder with `job.yaml`: 9 generations in 5 batches, the last of one."""
    config = {
        "model": {
            "pretrained": str(world / "pipeline"),
            "guide": {
                "class_path": "doodl.guides.CLIPText",
                "init_args": {"model": str(world / "guide")},
            },
            "num_steps": 3,
            "num_updates": 6,
            "mixing": 0.8,
            "optimizer": {
                "class_path": "doodl.optimizer.LatentSGD",
                "init_args": {"clip": 0.05, "noise_scale": 0.01},
            },
        },
        # One generation that stops early while its neighbour goes on.
        "early_stopping": {"patience": 3},
        "multicrop": {"num_cutouts": 2, "cutout_size": 20},
        "data": {"prompts": PROMPTS, "seeds": "0-2", "batch_size": 2},
        "trainer": {"accelerator": "cpu"},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def launch(job, folder, *options, command=COMMAND, **variables):
    options = ["--results.folder", folder, *options]
    return start([*command, *options], cwd=job, **variables)


def contents(folder):
    """Every file but those of the clock, and the command line's own configuration."""
    left_out = ("timing.json", "timings.csv", "config.yaml")
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in left_out]
    files = [p for p in files if "tensorboard" not in p.parts]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def finished(folder):
    manifest = folder / "manifest.csv"
    return len(list(csv.DictReader(manifest.open()))) if manifest.exists() else 0


@pytest.fixture
def alone(job):
    """What one process makes, undisturbed."""
    code, output = end(launch(job, "alone"))
    assert code == 0, output
    assert finished(job / "alone") == 9
    return contents(job / "alone")


def slurm(rank, ranks=2):
    return {
        "SLURM_JOB_ID": "123",
        "SLURM_JOB_NAME": "doodl",
        "SLURM_NTASKS": str(ranks),
        "SLURM_NTASKS_PER_NODE": str(ranks),
        "SLURM_NNODES": "1",
        "SLURM_PROCID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_LOCALID": str(rank),
    }


def test_two_processes_make_what_one_makes(job, alone):
    code, output = end(launch(job, "results", "--trainer.devices", 2))
    assert code == 0, output
    assert contents(job / "results") == alone


@pytest.mark.slow
@pytest.mark.parametrize("devices", [3, 6])
def test_a_rank_count_does_not_change_a_file(job, alone, devices):
    code, output = end(launch(job, "results", "--trainer.devices", devices))
    assert code == 0, output
    assert contents(job / "results") == alone


@pytest.mark.slow
def test_torchrun_needs_no_setting(job, alone):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", 2]
    command = [*torchrun, "--standalone", "--no_python", *COMMAND]
    code, output = end(launch(job, "results", command=command))
    assert code == 0, output
    assert contents(job / "results") == alone


@pytest.mark.slow
def test_slurm_needs_no_setting(job, alone):
    processes = [launch(job, "results", **slurm(rank)) for rank in range(2)]
    for process in processes:
        code, output = end(process)
        assert code == 0, output
    assert contents(job / "results") == alone


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGTERM, 143), (signal.SIGUSR1, 143), (signal.SIGINT, 130)],
)
@pytest.mark.parametrize("devices", [1, 2])
def test_a_signal_saves_and_stops_and_the_command_goes_on(
    job, alone, number, expected, devices
):
    process = launch(job, "results", "--trainer.devices", devices)
    while not finished(job / "results") and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, number)
    code, output = end(process)
    assert code == expected, output
    assert "the same command goes on from here" in output
    assert "Traceback" not in output
    assert finished(job / "results") < 9
    code, output = end(launch(job, "results"))
    assert code == 0, output
    assert contents(job / "results") == alone


@pytest.mark.slow
def test_predict_stops_at_a_signal_too(job):
    command = [part if part != "fit" else "predict" for part in COMMAND]
    many = ("--data.seeds", "0-99", "--model.num_steps", 40)
    process = launch(job, "results", *many, command=command)
    while not finished(job / "results") and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    code, output = end(process)
    assert code == 143, output
    assert 0 < finished(job / "results") < 300


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(job, alone):
    moments = random.Random(0)
    folder, starts, kills = job / "results", 0, 0
    while kills < 20:
        devices = moments.choice([1, 2])
        process = launch(job, "results", "--trainer.devices", devices)
        starts += 1
        assert starts < 60, "the processes end before they are killed"
        # From its start, or from when work begins, some moment until all is done.
        if moments.random() < 0.8:
            before = _newest(folder)
            while _newest(folder) == before and process.poll() is None:
                time.sleep(0.005)
        time.sleep(moments.random() * 0.4)
        if process.poll() is None:
            kills += 1
        kill_group(process)  # which may have ended in this moment
        process.wait()
        if finished(folder) == 9:
            _forget(folder, moments)
    code, output = end(launch(job, "results"))
    assert code == 0, output
    # Temporary names of what was being written are all that a kill may leave.
    left = {k: v for k, v in contents(folder).items() if not _temporary(k)}
    assert {k: v for k, v in left.items() if not k.startswith(".state")} == alone


def _newest(folder):
    times = [p.stat().st_mtime_ns for p in folder.rglob("*.*") if p.exists()]
    return max(times, default=0)


def _forget(folder, moments):
    """Remove some finished generations, so that there is more to kill."""
    for path in sorted(folder.glob("*/summary.json")):
        if moments.random() < 0.7:
            path.unlink()


def _temporary(name):
    return Path(name).name.startswith(".")


def test_a_failed_generation_is_in_the_exit_code(job):
    (job / "blind.py").write_text(
        "from doodl.guides import Guide\n\n\n"
        "class Blind(Guide):\n"
        "    def forward(self, pixels, targets):\n"
        "        return pixels.mean(dim=(1, 2, 3))\n\n"
        "    def score(self, pixels, targets):\n"
        "        return float('nan') * self(pixels, targets)\n"
    )
    options = ("--model.guide", "blind.Blind", "--data.seeds", "[0]")
    code, output = end(launch(job, "results", *options))
    assert code == 1, output
    assert "doodl: 3 of 3 generations failed: the image's score is not" in output
    assert finished(job / "results") == 3
