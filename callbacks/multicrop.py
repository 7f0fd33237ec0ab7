"""Random crops of each picture as the input of the guide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from doodl.callbacks.base import GenerationCallback
from doodl.guides import cutouts
from doodl.guides.views import Views

MOST_CUTOUTS = 10_000
"""Crops of a picture; more would fit into no memory."""


class Multicrop(GenerationCallback):
    """Gives the guide random crops in `fit`; in `predict` it gets the full frame.

    Args:
        num_cutouts: number of crops of each picture; 0 for the full frame only.
        cutout_size: smallest side of a crop in pixels; by default the guide's input
            size. It must be smaller than the picture for crops to differ.
        cutout_power: exponent of the distribution of the side; a smaller exponent gives
            larger crops.
        reduction: how the losses of a picture's crops are reduced: their `mean` (paper)
            or `min` (the released code, for its CLIP losses).
    """

    def __init__(
        self,
        num_cutouts: int = 16,
        cutout_size: int | None = None,
        cutout_power: float = 0.3,
        reduction: Literal["mean", "min"] = "mean",
    ) -> None:
        cutouts.check(max(num_cutouts, 1), cutout_size, cutout_power)
        if not 0 <= num_cutouts <= MOST_CUTOUTS:
            raise ValueError(
                f"Expected num_cutouts from 0 to {MOST_CUTOUTS}, received "
                f"{num_cutouts}."
            )
        if reduction not in ("mean", "min"):
            raise ValueError(
                f"Expected the reduction mean or min, received '{reduction}'."
            )
        self.num_cutouts = num_cutouts
        self.cutout_size = cutout_size
        self.cutout_power = cutout_power
        self.reduction = reduction
        self._warned = False

    @override
    def views(self) -> Views | None:
        return self if self.num_cutouts else None

    def __call__(
        self, pixels: Tensor, size: int | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return K crops (N, K, 3, s, s) of each of the pixels (N, 3, H, W).

        Args:
            pixels: (N, 3, H, W) in [0, 1].
            size: side s of the crops in pixels; None for the picture's shorter side.
            generators: N random generators, one for each picture.
        """
        height, width = pixels.shape[-2:]
        size = size or min(height, width)
        self._warn(height, width, self.cutout_size or size)
        return cutouts.cutout(
            pixels,
            size,
            generators,
            num_cutouts=self.num_cutouts,
            cutout_size=self.cutout_size,
            cutout_power=self.cutout_power,
        )

    def reduce(self, losses: Tensor) -> Tensor:
        """Return the losses of the pictures (N,) from those of their crops (N, K)."""
        return losses.mean(dim=1) if self.reduction == "mean" else losses.amin(dim=1)

    def _warn(self, height: int, width: int, smallest: int) -> None:
        if not self._warned and not cutouts.cutouts_vary(height, width, smallest):
            self._warned = True
            rank_zero_warn(
                f"All crops of a {width} x {height} px image are the full frame, since "
                f"the smallest crop is {smallest} px; choose a smaller cutout_size."
            )
