"""Compares DOODL with the baselines on one application, and prints a table.

    python benchmarks/applications.py personalization [--prompts 16] [--updates 20]

The original image, one-step classifier guidance, best of N (with N samples for the cost
of the updates) and DOODL use the same prompts, seeds, guide and judge. Each result is
compared with its own original, an edit with the picture that DOODL reconstructs:
`better` is the share of results that the judge prefers to the original, `moved` the
distance of a held-out CLIP's embeddings; the last column is the PSNR. The share of
plain draws that are right shows how rare the target is.

Prompts of `clip_text` hold only objects whose combination of colour and kind was
withheld from the diffusion model. Further options go to `doodl`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from tasks import APPLICATIONS, PARTIAL, Rows, mean, task
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio

from doodl.images import load, to_images
from doodl.pretrained import load_clip

STRENGTHS = {
    "clip_text": (10,),
    "classifier": (3,),
    "aesthetic": (10, 100),
    "aesthetic_edit": (10, 100),
    "personalization": (10, 30),
}
"""Of one-step guidance: the best that `sweep.py` found for each. Where the highest
score is that of a picture that shows the scene no longer, also the best that does."""
COLUMNS = ("guide", "judge", "right", "better", "moved", "psnr", "s/update")


def methods(application: str, updates: int) -> dict[str, tuple[str, list[str]]]:
    """Return subcommand and options of every method, by its name."""
    found = {"DOODL": ("fit", ["--model.num_updates", str(updates)])}
    for strength in STRENGTHS[application]:
        one = ["--model.baseline", "doodl.baselines.OneStep"]
        one += ["--model.baseline.strength", str(strength)]
        found[f"one step {strength}"] = "predict", one + PARTIAL.get(application, [])
    best = ["--model.baseline", "doodl.baselines.BestOfN"]
    best += ["--model.baseline.updates", str(updates)]
    found["best of N"] = "predict", best + PARTIAL.get(application, [])
    return found


def scores(rows: Rows, which: str) -> list[float]:
    """Return the mean scores of the `first` or the `best` images."""
    return [mean(rows, f"{name}_{which}") for name in ("guide", "judge", "verdict")]


def better(rows: Rows, originals: Rows) -> float:
    """Return the share of generations whose judge prefers the result."""
    pairs = [
        (float(row["judge_best"]), float(original["judge_first"]))
        for row, original in zip(rows, originals, strict=True)
        if row["judge_best"]
    ]
    ahead = [best > first for best, first in pairs]
    return sum(ahead) / len(ahead) if ahead else math.nan


@torch.no_grad()
def movement(rows: Rows, originals: Rows) -> tuple[float, float]:
    """Return the distance of best images and originals: of embeddings, and in dB."""
    clip = load_clip("shapes/judge")

    def pictures(rows: Rows, name: str) -> Tensor:
        return torch.stack([load(f"{r['root']}/{r['folder']}/{name}") for r in rows])

    before, after = pictures(originals, "original.png"), pictures(rows, "best.png")
    features = [clip.encode_image(to_images(p)) for p in (before, after)]
    moved = 1 - cosine_similarity(*features, dim=1)
    ratio = peak_signal_noise_ratio(
        after, before, data_range=1.0, dim=(1, 2, 3), reduction="none"
    )
    return moved.mean().item(), ratio.clamp(max=60).mean().item()


def main() -> None:
    """Run every method on one application, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("application", choices=APPLICATIONS)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("results/applications"))
    parser.add_argument("--only", nargs="*", help="begin with these words")
    known, options = parser.parse_known_args()
    name, folder = known.application, known.folder / known.application
    edit = name == "aesthetic_edit"
    count = 2 * known.prompts if edit else known.prompts
    chosen = task(name, folder / "data", count, "0-1", seed=7)

    lines: list[tuple[Any, ...]] = []
    pictures, stages = None, set()
    for method, (stage, settings) in methods(name, known.updates).items():
        if known.only and not method.startswith(tuple(known.only)):
            continue
        rows = chosen.run(stage, folder / method.replace(" ", "_"), settings + options)
        if stage not in stages:
            stages.add(stage)
            sampler = "EDICT" if stage == "fit" else "DDIM"
            lines.append((f"original, {sampler}", *scores(rows, "first")))
        pictures = pictures or rows
        compared = rows, pictures if edit else rows
        seconds = mean(rows, "seconds") / (known.updates if method == "DOODL" else 1)
        result = (*scores(rows, "best"), better(*compared), *movement(*compared))
        lines.append((method, *result, seconds))
    print(f"{name}: {2 * known.prompts} generations, {known.updates} updates")
    print(f"{'':22}" + "".join(f"{column:>9}" for column in COLUMNS))
    for label, *values in lines:
        print(f"{label:22}" + "".join(f"{value:9.3f}" for value in values))

    if known.draws and not edit:
        seeds = f"1000-{999 + -(-known.draws // known.prompts)}"
        drawn = task(name, folder / "data", count, seeds, seed=7)
        once = ["--model.baseline", "doodl.baselines.BestOfN"]
        once += ["--model.baseline.samples", "1"]
        rows = drawn.run("predict", folder / "draws", once + options)
        print(f"right among {len(rows)} draws: {mean(rows, 'verdict_first'):.3f}")


if __name__ == "__main__":
    main()
