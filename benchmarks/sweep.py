"""Prints the sweep that chose the shapes world's settings.

    python benchmarks/sweep.py [--prompts 4] [--updates 10]

The prompts and seeds are drawn apart from those of the demonstration and of
`unusual.py`. One setting is changed at a time, from what `configs/shapes.yaml` says.
"""

from __future__ import annotations

import argparse

from unusual import measure

from doodl.shapes.evaluate import plain_captions

CLIP = "--model.optimizer.clip"
LR = "--model.optimizer.lr"
STEPS, MIXING = "--model.num_steps", "--model.mixing"
VARIANTS: dict[str, list[str]] = {
    "as configured": [],
    "clip 0.02, lr 20": [CLIP, "0.02", LR, "20"],
    "clip 0.08, lr 80": [CLIP, "0.08", LR, "80"],
    "lr 1": [LR, "1"],
    "lr 200": [LR, "200"],
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


def main() -> None:
    """Run every variant and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--folder", default="results/sweep")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    known = parser.parse_args()
    captions = plain_captions(known.prompts, pairs=1.0, held_out="only", seed=1007)
    columns = ("guide_first", "guide_best", "judge_first", "judge_best")
    columns += ("right_first", "right_best", "seconds_an_update")
    lines = []
    for number, name in enumerate(known.only):
        folder = f"{known.folder}/{number}"
        options = VARIANTS[name]
        figures = measure(folder, captions, [1001, 1002], known.updates, options)
        cells = [f"{figures[column]:8.3f}" for column in columns]
        lines.append(f"{name:18}" + "".join(cells))
    print(
        f"{'':18}"
        + "".join(f"{c.replace('seconds_an_update', 's/upd')[-8:]:>8}" for c in columns)
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
