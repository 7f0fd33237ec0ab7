"""Prints what optimisation gains on prompts that the shapes world never saw.

    python benchmarks/unusual.py [--prompts 32] [--seeds 2] [--updates 20]

Every object of these prompts is a combination of colour and kind that was withheld from
the diffusion model. Further options go to `doodl fit`, as `--model.num_steps 20`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
from pathlib import Path

from doodl.cli import main as doodl
from doodl.shapes.evaluate import plain_captions


def measure(
    folder: str,
    prompts: list[str],
    seeds: list[int],
    updates: int,
    options: list[str],
) -> dict[str, float]:
    """Run `doodl fit` and return the means over all generations of its manifest."""
    texts, numbers = json.dumps(prompts), json.dumps(seeds)
    settings = ["--data.prompts", texts, "--data.seeds", numbers]
    settings += ["--model.num_updates", str(updates), "--results.folder", folder]
    doodl(["fit", *settings, *options])
    if os.environ.get("LOCAL_RANK", "0") != "0":  # with --trainer.devices 2
        raise SystemExit
    with (Path(folder) / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["prompt"] in prompts]
    with (Path(folder) / "timings.csv").open() as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]

    def mean(column: str) -> float:
        return statistics.mean(float(row[column]) for row in rows)

    def share(column: str) -> float:
        return statistics.mean(row[column] == "True" for row in rows)

    return {
        "generations": len(rows),
        "guide_first": mean("guide_first"),
        "guide_best": mean("guide_best"),
        "judge_first": mean("judge_first"),
        "judge_best": mean("judge_best"),
        "judge_up": statistics.mean(
            float(row["judge_best"]) > float(row["judge_first"]) for row in rows
        ),
        "right_first": share("verdict_first"),
        "right_best": share("verdict_best"),
        "seconds_an_update": statistics.mean(seconds) / updates,
    }


def main() -> None:
    """Measure and print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--folder", default="results/unusual")
    known, options = parser.parse_known_args()
    captions = plain_captions(known.prompts, pairs=1.0, held_out="only", seed=7)
    seeds = list(range(known.seeds))
    figures = measure(known.folder, captions, seeds, known.updates, options)
    for name, value in figures.items():
        print(f"{name:18} {value:8.3f}")


if __name__ == "__main__":
    main()
