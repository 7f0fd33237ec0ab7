"""Cutouts: a guide's loss on several random crops of an image.

The side of a crop is drawn as

    side = int(u^power * (max_side - min_side) + min_side),   u ~ U(0, 1),
    max_side = min(H, W),   min_side = min(H, W, cutout_size),

so that a power below 1 makes large crops more likely; the position is uniform. Every
crop is resized to the guide's input size: by averaging if it is larger, by bilinear
interpolation if it is smaller.

References:
    MakeCutouts of K. Crowson's CLIP-guided diffusion, as used by DOODL
    (arXiv 2303.13703), which fixes `cutout_size` to the guide's input size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def cutout(
    pixels: Tensor,
    size: int,
    generators: Sequence[torch.Generator],
    *,
    num_cutouts: int = 16,
    cutout_size: int | None = None,
    cutout_power: float = 0.3,
) -> Tensor:
    """Return random square crops of every image, differentiable in its pixels.

    Args:
        pixels: (N, 3, H, W).
        size: side of the crops after resizing, the guide's input size, in pixels.
        generators: one for each image, on the CPU, so that the crops of an image do
            not depend on the other images.
        num_cutouts: number of crops of each image.
        cutout_size: smallest side of a crop before resizing, in pixels; by default
            `size`.
        cutout_power: exponent of the side's distribution, 0 or more; with 0 every crop
            has the largest side.

    Returns:
        (N, num_cutouts, 3, size, size).

    Raises:
        ValueError: a setting out of range, or another number of generators.
    """
    smallest = size if cutout_size is None else cutout_size
    check(num_cutouts, smallest, cutout_power)
    height, width = pixels.shape[-2:]
    if len(generators) != len(pixels):
        raise ValueError(
            f"Expected one generator for each of {len(pixels)} images, "
            f"received {len(generators)}."
        )
    crops = [
        resize(image[None, :, top : top + side, left : left + side], size)
        for image, generator in zip(pixels, generators, strict=True)
        for top, left, side in _boxes(
            height, width, generator, num_cutouts, smallest, cutout_power
        )
    ]
    return torch.cat(crops).unflatten(0, (-1, num_cutouts))


def check(num_cutouts: int, cutout_size: int | None, cutout_power: float) -> None:
    """Refuse settings of `cutout` that are out of range.

    Raises:
        ValueError: `num_cutouts` or `cutout_size` below 1, `cutout_power` negative.
    """
    if num_cutouts < 1:
        raise ValueError(f"Expected num_cutouts of at least 1, received {num_cutouts}.")
    if cutout_size is not None and cutout_size < 1:
        raise ValueError(
            f"Expected a cutout_size of at least 1, received {cutout_size}."
        )
    if not (math.isfinite(cutout_power) and cutout_power >= 0):
        raise ValueError(
            f"Expected a cutout_power of 0 or more, received {cutout_power}."
        )


def _boxes(
    height: int,
    width: int,
    generator: torch.Generator,
    num_cutouts: int,
    cutout_size: int,
    cutout_power: float,
) -> list[tuple[int, int, int]]:
    """Return (top, left, side) of each crop in pixels.

    They are Python numbers, so that no transfer from a device is needed.
    """
    largest = min(height, width)
    smallest = min(largest, cutout_size)
    draws = torch.rand(num_cutouts, 3, generator=generator, dtype=torch.float64)
    boxes = []
    for u, v, w in draws.tolist():
        side = int(u**cutout_power * (largest - smallest) + smallest)
        top, left = int(v * (height - side + 1)), int(w * (width - side + 1))
        boxes.append((top, left, side))
    return boxes


def full_frame(pixels: Tensor, size: int | None) -> Tensor:
    """Return the whole image as its only crop.

    Args:
        pixels: (N, 3, H, W).
        size: side of the crop after resizing, in pixels; None does not resize it.

    Returns:
        (N, 1, 3, size, size), or (N, 1, 3, H, W).
    """
    frame = pixels if size is None else resize(pixels, size)
    return frame.unsqueeze(1)


def resize(pixels: Tensor, size: int) -> Tensor:
    """Return pixels (N, 3, H, W) resized to (N, 3, size, size).

    They are averaged where both sides are `size` or more, else interpolated.
    """
    if min(pixels.shape[-2:]) >= size:
        return F.adaptive_avg_pool2d(pixels, size)
    return F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)


def cutouts_vary(height: int, width: int, cutout_size: int) -> bool:
    """Return whether crops can differ: not if each is the whole square image."""
    return min(height, width) > cutout_size or height != width
