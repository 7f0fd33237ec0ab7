"""Prints how often the shapes world draws each unusual caption right, rarest first.

    python benchmarks/hardest.py [--count 64] [--seeds 8] [--weights FOLDER]

The captions are those of `python -m doodl.shapes evaluate`; the samples have 20 steps
of DDIM, guidance 5, and seeds that neither a demonstration nor a table uses. The three
rarest are the prompts of a bare `doodl fit` (`configs/shapes.yaml`): a caption
that is always drawn right leaves nothing to optimise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from doodl.generation import Generation
from doodl.pretrained import SHAPES, load_text_to_image
from doodl.shapes.evaluate import plain_captions
from doodl.shapes.judge import AttributeJudge
from doodl.shapes.samples import sample

STEPS, GUIDANCE = 20, 5.0
FIRST = 5000
"""First seed of the samples."""


def rates(captions: list[str], seeds: int, folder: Path) -> dict[str, float]:
    """Return the share of right samples of each caption, rarest first.

    Captions that are equally rare keep their order.
    """
    model = load_text_to_image(str(folder / "pipeline"))
    judge = AttributeJudge(str(folder / "attributes"))
    judge.load()
    every = [caption for caption in captions for _ in range(seeds)]
    pixels = sample(model, every, GUIDANCE, steps=STEPS, first_seed=FIRST)
    verdicts = judge.verdicts(pixels, [Generation(caption, 0) for caption in every])
    right = torch.tensor([float(bool(v)) for v in verdicts]).view(-1, seeds)
    found = dict(zip(captions, right.mean(dim=1).tolist(), strict=True))
    return dict(sorted(found.items(), key=lambda item: item[1]))


def main() -> None:
    """Print one line a caption."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--weights", type=Path, default=SHAPES)
    known = parser.parse_args()
    captions = plain_captions(known.count, pairs=1.0, held_out="only")
    for caption, rate in rates(captions, known.seeds, known.weights).items():
        print(f"{rate:6.3f}  {caption}")


if __name__ == "__main__":
    main()
