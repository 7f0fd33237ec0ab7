"""Prints how often the shapes world draws each of 64 prompts right, rarest first.

    python benchmarks/hardest.py [--count 64] [--seeds 8] [--weights FOLDER]

The prompts are drawn like those of the text table, and neither a table nor a choice of
settings uses them; the samples have 20 steps of DDIM, guidance 5, and seeds of their
own. The first three of the rarest are the prompts of a bare `doodl fit`
(`configs/shapes.yaml`): a prompt that is always drawn right leaves nothing to optimise.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from draws import text_rows
from splits import part_of, rows

from doodl.generation import Generation
from doodl.pretrained import SHAPES, load_text_to_image
from doodl.shapes.judge import AttributeJudge
from doodl.shapes.samples import sample

STEPS, GUIDANCE = 20, 5.0
FIRST = 5000
"""First seed of the samples."""
POOL = 77
"""The seed from which the prompts are drawn."""


def prompts(count: int = 64) -> list[str]:
    """Return prompts that no table and no choice of settings uses."""
    with tempfile.TemporaryDirectory() as folder:
        tuned = [row["prompt"] for row in rows("clip_text", "tuning", 64, Path(folder))]
    drawn = [row for row in text_rows(5 * count, POOL) if part_of(row) == "tuning"]
    return [r["prompt"] for r in drawn if r["prompt"] not in tuned][:count]


def rates(
    captions: list[str], seeds: int, folder: Path, first: int = FIRST
) -> dict[str, float]:
    """Return the share of right samples of each caption, rarest first.

    Captions that are equally rare keep their order.

    Args:
        captions: prompts that name every object.
        seeds: number of samples of each.
        folder: with the weights of the world.
        first: seed of the first sample; every sample has its own.
    """
    model = load_text_to_image(str(folder / "pipeline"))
    judge = AttributeJudge(str(folder / "attributes"))
    judge.load()
    every = [caption for caption in captions for _ in range(seeds)]
    pixels = sample(model, every, GUIDANCE, steps=STEPS, first_seed=first)
    verdicts = judge.verdicts(pixels, [Generation(caption, 0) for caption in every])
    right = torch.tensor([float(bool(v)) for v in verdicts]).view(-1, seeds)
    found = dict(zip(captions, right.mean(dim=1).tolist(), strict=True))
    return dict(sorted(found.items(), key=lambda item: item[1]))


def main() -> None:
    """Print one line a prompt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--weights", type=Path, default=SHAPES)
    known = parser.parse_args()
    found = rates(prompts(known.count), known.seeds, known.weights)
    for prompt, rate in found.items():
        print(f"{rate:6.3f}  {prompt}")


if __name__ == "__main__":
    main()
