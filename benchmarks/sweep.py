"""Repeats the sweep that chose an application's settings for the shapes world.

    python benchmarks/sweep.py clip_text [--prompts 4] [--updates 10]

Prompts and seeds differ from those of the demonstration and the tables. Each variant
changes one setting of the packaged configuration; further variants are strengths of the
one-step guidance. Further options go to `doodl`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tasks import APPLICATIONS, PARTIAL, mean, task

CLIP = "--model.optimizer.clip"
LR = "--model.optimizer.lr"
STEPS, MIXING = "--model.num_steps", "--model.mixing"
VARIANTS: dict[str, list[str]] = {
    "as configured": [],
    "clip 0.02": [CLIP, "0.02"],
    "clip 0.08": [CLIP, "0.08"],
    "lr 0.5": [LR, "0.5"],
    "lr 5": [LR, "5"],
    "lr 40": [LR, "40"],
    "lr 320": [LR, "320"],
}
WORLD: dict[str, list[str]] = {
    "guidance 3": ["--model.guidance_scale", "3"],
    "guidance 7.5": ["--model.guidance_scale", "7.5"],
    "T 10, p 0.6": [STEPS, "10", MIXING, "0.6"],
    "T 20, p 0.85": [STEPS, "20", MIXING, "0.85"],
    "T 50, p 0.93": [STEPS, "50", MIXING, "0.93"],
    "noise 0.01": ["--model.optimizer.noise_scale", "0.01"],
    "8 cutouts": ["--multicrop.num_cutouts", "8"],
    "full frame": ["--multicrop.num_cutouts", "0"],
    "crops down to 52": ["--multicrop.cutout_size", "52"],
}
"""What the whole world has in common, chosen on `clip_text`."""
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
COLUMNS = ("guide_first", "guide_best", "judge_first", "judge_best")
COLUMNS += ("verdict_first", "verdict_best", "seconds")


def main() -> None:
    """Run every variant and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("application", choices=APPLICATIONS)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path("results/sweep"))
    parser.add_argument("--only", nargs="*")
    known, further = parser.parse_known_args()
    name, folder = known.application, known.folder / known.application
    chosen = task(name, folder / "data", known.prompts, "1001-1002", seed=1007)

    runs = {}
    for variant, options in (VARIANTS | (WORLD if name == "clip_text" else {})).items():
        updates = ["--model.num_updates", str(known.updates)]
        runs[variant] = "fit", [*updates, *options]
    for strength in STRENGTHS:
        options = ["--model.baseline", "doodl.baselines.OneStep"]
        options += ["--model.baseline.strength", str(strength)]
        options += PARTIAL.get(name, [])
        runs[f"one step {strength:g}"] = "predict", options

    lines = []
    for variant in known.only or runs:
        stage, options = runs[variant]
        place = folder / "".join(c if c.isalnum() else "_" for c in variant)
        rows = chosen.run(stage, place, options + further)
        figures = [mean(rows, column) for column in COLUMNS]
        lines.append(f"{variant:18}" + "".join(f"{f:14.3f}" for f in figures))
    print(f"{name:18}" + "".join(f"{column:>14}" for column in COLUMNS))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
