"""Symmetry: the smallest example of a guide."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import override

from doodl.guides.base import Guide


class Symmetry(Guide):
    """Mean squared difference between an image and its mirror image, left to right."""

    @override
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the losses (N,) in [0, 1] of pixels (N, 3, H, W) in [0, 1]."""
        return (pixels - pixels.flip(-1)).square().mean(dim=(1, 2, 3))
