"""Views: which crops of an image a guide takes, and how their losses are reduced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from doodl.generation import Generation
from doodl.guides.cutouts import full_frame


class Views(Protocol):
    """Makes the crops of an image, and one loss of the crops' losses."""

    def __call__(
        self, pixels: Tensor, size: int | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return K crops of each image.

        Args:
            pixels: (N, 3, H, W) in [0, 1].
            size: side of the crops in pixels; None leaves their size as it is.
            generators: N random generators, one for each image.

        Returns:
            (N, K, 3, size, size).
        """

    def reduce(self, losses: Tensor) -> Tensor:
        """Return the losses of the images (N,) from those of their crops (N, K)."""


class FullFrame:
    """The whole image as its only crop, resized to the guide's input."""

    def __call__(
        self, pixels: Tensor, size: int | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return the whole images (N, 1, 3, size, size); no random number is drawn."""
        return full_frame(pixels, size)

    def reduce(self, losses: Tensor) -> Tensor:
        """Return the losses (N,) of the only crops (N, 1)."""
        return losses.mean(dim=1)


class Verdict(Protocol):
    """Decides whether an image shows what its generation's prompt asks for."""

    def load(self, device: torch.device | str = "cpu") -> None:
        """Load the frozen networks onto a device."""

    def verdicts(
        self, pixels: Tensor, generations: Sequence[Generation]
    ) -> list[bool | None]:
        """Return one verdict for each image; None where it cannot be decided.

        Args:
            pixels: (B, 3, H, W) in [0, 1].
            generations: the B generations that the images belong to.
        """
