"""Optimise four pictures of the shapes world, and print their scores.

    python examples/first_optimization.py

The default values of `doodl.optimize` suit Stable Diffusion. The embedded model is
small and needs the values below, which are those of `configs/shapes.yaml`.
"""

from functools import partial
from pathlib import Path
from typing import Any

import doodl
from doodl.callbacks import ImageLogger, Multicrop
from doodl.guides import CLIPText

PROMPTS = ["a green heart above a red ring", "a purple circle below a cyan triangle"]
SETTINGS = {"num_steps": 20, "num_updates": 10, "guidance_scale": 5.0, "mixing": 0.75}


def main(folder: str = "results/first", **settings: Any) -> None:
    """Write `original-K.png` and `best-K.png` for each prompt and seed."""
    results = doodl.optimize(
        "shapes",
        PROMPTS,
        CLIPText("shapes/guide"),
        seeds=[0, 1],
        optimizer=partial(doodl.LatentSGD, lr=40.0, clip=0.04),
        callbacks=[Multicrop(cutout_size=40), ImageLogger(folder)],
        **{**SETTINGS, **settings},
    )
    for k, result in enumerate(results):
        if result.failure or result.first is None or result.best is None:
            print(f"{result.generation.id}: {result.failure}")
            continue
        result.first.image.save(Path(folder) / f"original-{k}.png")
        result.best.image.save(Path(folder) / f"best-{k}.png")
        first, best = result.first.guide, result.best.guide
        print(f"{result.generation.id}: {first:.3f} -> {best:.3f}")


if __name__ == "__main__":
    main()
