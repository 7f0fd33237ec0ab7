"""How the images of a batch are looked at: views for the guide, verdicts for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from doodl.generation import Generation
from doodl.guides.cutouts import full_frame


class Views(Protocol):
    """How a guide looks at a picture: its crops, and what their losses make."""

    def __call__(
        self, pixels: Tensor, size: int | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return crops (N, K, 3, s, s) of pixels (N, 3, H, W)."""

    def reduce(self, losses: Tensor) -> Tensor:
        """Return the loss of each picture (N,) from its crops' (N, K)."""


class FullFrame:
    """The whole picture, resized to the guide's input."""

    def __call__(
        self, pixels: Tensor, size: int | None, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return the picture as its only crop."""
        return full_frame(pixels, size)

    def reduce(self, losses: Tensor) -> Tensor:
        """Return the loss of the only crop."""
        return losses.mean(dim=1)


class Verdict(Protocol):
    """Says whether a picture shows what its generation asked for."""

    def load(self, device: torch.device | str = "cpu") -> None:
        """Load its networks, frozen."""

    def verdicts(
        self, pixels: Tensor, generations: Sequence[Generation]
    ) -> list[bool | None]:
        """Return a verdict for each of pixels (B, 3, H, W), None where unknown."""
