"""`python -m doodl.shapes render | pictures | train | install | evaluate`."""

from __future__ import annotations

from pathlib import Path

import torch
from jsonargparse import auto_cli

from doodl import images
from doodl.shapes.evaluate import evaluate
from doodl.shapes.pictures import reference_pictures
from doodl.shapes.recipe import install, train
from doodl.shapes.renderer import rating
from doodl.shapes.renderer import render as render_scenes
from doodl.shapes.scenes import draw_scenes


def render(path: Path = Path("scenes.png"), count: int = 64, seed: int = 0) -> None:
    """Draw pictures of the world into one file and print their captions.

    Args:
        path: of the PNG.
        count: number of pictures.
        seed: of the scenes.
    """
    scenes = draw_scenes(count, torch.Generator().manual_seed(seed))
    pixels = render_scenes(scenes)
    images.save(images.grid(pixels, max(1, round(count**0.5))), path)
    ratings = rating(pixels).tolist()
    for caption, score in zip(scenes.captions(), ratings, strict=True):
        print(f"{score:4.1f}  {caption}")


def pictures(folder: Path = images.PICTURES) -> None:
    """Draw the pictures that the packaged configurations begin with.

    Args:
        folder: of the PNGs.
    """
    for name, pixels in reference_pictures().items():
        images.save(pixels, folder / f"{name}.png")


if __name__ == "__main__":
    auto_cli([render, pictures, train, install, evaluate])
