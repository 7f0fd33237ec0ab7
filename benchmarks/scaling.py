"""Measures how batch jobs scale to two processes, and simulates more.

    python benchmarks/scaling.py [--prompts 8] [--updates 5]

First the same job runs in one process and then in two, with one thread each; the ratio
of generations an hour, without start-up, should be near 2. Then the durations of its
batches, with early stopping, are resampled for a long job. They are dealt to 8, 64 and
1024 processes in two ways: in advance, an equal share to each rank; or one at a time to
the rank that is free, as `doodl` does.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from doodl.shapes.evaluate import plain_captions


def run(folder: Path, processes: int, prompts: list[str], options: list[str]) -> float:
    """Run a job and return its generations an hour, without start-up."""
    command = [sys.executable, "-m", "doodl", "fit", "--results.folder", str(folder)]
    command += ["--data.prompts", json.dumps(prompts), "--data.seeds", "0-1"]
    command += ["--trainer.devices", str(processes), "--trainer.accelerator", "cpu"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    job = subprocess.Popen([*command, *options], env=environment, **quiet)
    first = None
    while job.poll() is None:
        if first is None and any(folder.glob("*/summary.json")):
            first = time.monotonic(), _finished(folder)
        time.sleep(0.05)
    if job.returncode or first is None:
        raise SystemExit(f"The job in {folder} ended with {job.returncode}.")
    began, before = first
    return 3600 * (_finished(folder) - before) / (time.monotonic() - began)


def durations(folder: Path) -> list[float]:
    """Return the seconds of each generation of a finished job."""
    with (folder / "timings.csv").open() as file:
        return [float(row["seconds"]) for row in csv.DictReader(file)]


def utilisation(batches: list[float], ranks: int, *, free: bool) -> float:
    """Return the share of the ranks' time that is work, until the last rank ends."""
    if free:
        loads = [0.0] * ranks
        for seconds in batches:
            heapq.heappush(loads, heapq.heappop(loads) + seconds)
    else:
        loads = [sum(batches[rank::ranks]) for rank in range(ranks)]
    return sum(batches) / (ranks * max(loads))


def main() -> None:
    """Run both jobs, simulate the long ones, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--per-rank", type=int, default=16)
    parser.add_argument("--folder", type=Path, default=Path("results/scaling"))
    known = parser.parse_args()
    prompts = plain_captions(known.prompts, pairs=1.0, seed=2007)
    options = ["--model.num_steps", "10", "--model.mixing", "0.6"]
    options += ["--model.num_updates", str(known.updates), "--data.batch_size", "1"]

    rates = [
        run(known.folder / str(n), n, prompts, options)
        for n in (1, 2)  # in one run, one after the other
    ]
    print(f"{'processes':>10}{'generations/h':>15}{'ratio':>8}")
    for n, rate in zip((1, 2), rates, strict=True):
        print(f"{n:>10}{rate:>15.0f}{rate / rates[0]:>8.2f}")

    stopping = ["--early_stopping.patience", "2"]
    stopped = known.folder / "stopped"
    run(stopped, 2, prompts, [*options, *stopping])
    measured, draws = durations(stopped), random.Random(0)
    print(f"\n{'ranks':>10}{'in advance':>15}{'whoever is free':>18}")
    for ranks in (8, 64, 1024):
        batches = draws.choices(measured, k=ranks * known.per_rank)
        shares = [utilisation(batches, ranks, free=free) for free in (False, True)]
        print(f"{ranks:>10}{shares[0]:>15.1%}{shares[1]:>18.1%}")


def _finished(folder: Path) -> int:
    return len(list(folder.glob("*/summary.json")))


if __name__ == "__main__":
    main()
