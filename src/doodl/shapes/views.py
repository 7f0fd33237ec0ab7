"""How the trainings look at pictures: whole or cropped, with a little noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def views(pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return every second picture whole, the others cropped to 40 to 64 px, at 64 px.

    A little noise is added, since generated pictures are never as clean as renders.
    The second result is the affine map (N, 2, 3) of each view.
    """
    n = len(pixels)
    scale = 0.625 + 0.375 * torch.rand(n, generator=generator)
    scale = torch.where(torch.arange(n) % 2 == 0, 1.0, scale)
    shift = (1 - scale)[:, None] * (2 * torch.rand(n, 2, generator=generator) - 1)
    frame = torch.zeros(n, 2, 3)
    frame[:, 0, 0] = frame[:, 1, 1] = scale
    frame[:, :, 2] = shift
    noise = 0.03 * torch.rand(n, 1, 1, 1, generator=generator)
    speckle = torch.randn(pixels.shape, generator=generator)
    return resample(pixels, frame, "bilinear") + noise * speckle, frame


def resample(pixels: Tensor, frame: Tensor, mode: str) -> Tensor:
    """Return what affine maps (N, 2, 3) see of pixels (N, C, H, W), as large."""
    grid = affine_grid(frame, list(pixels.shape), align_corners=False)
    return grid_sample(
        pixels, grid, mode=mode, padding_mode="border", align_corners=False
    )
