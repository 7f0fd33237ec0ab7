"""The base of all guides: a loss on pixels, with targets from the generations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from doodl.description import Described
from doodl.generation import Generation

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Guide(Described, nn.Module, ABC):
    """A loss on pixels, usually that of a frozen network.

    The constructor only checks and stores its arguments, so that a mistake is reported
    before any network is loaded; `load` loads the networks. A guide is always in eval
    mode.

    A subclass has to define `forward`, and `prepare` if its loss has targets.
    `Symmetry` is the smallest example.

    Attributes:
        input_size: side in pixels of the square images that `forward` takes, known
            after `load`; None if it takes any size.
    """

    input_size: int | None = None

    def load(self, device: torch.device | str = "cpu") -> None:
        """Load the frozen networks onto a device; a second call only moves them."""
        self.to(device)

    def check(self, generations: Sequence[Generation]) -> None:
        """Refuse generations without a target; called before any network is loaded.

        Raises:
            ValueError: a generation has no target, or one that cannot be used.
        """

    def prepare(self, generations: Sequence[Generation]) -> dict[str, Tensor]:
        """Return the targets of B generations, computed once for a batch.

        Returns:
            tensors by name, each with leading dimension B.
        """
        return {}

    @abstractmethod
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the losses of N images; lower is better.

        The loss of an image must not depend on the other images (no batch norm).

        Args:
            pixels: (N, 3, h, w) in [0, 1]; h = w = `input_size` unless that is None.
            targets: result of `prepare`, each tensor with leading dimension N.

        Returns:
            (N,)
        """

    def terms(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of N images together with the terms they consist of.

        A guide whose loss has several terms overrides this method to report them.

        Args:
            pixels: (N, 3, h, w) in [0, 1]; h = w = `input_size` unless that is None.
            targets: result of `prepare`, each tensor with leading dimension N.

        Returns:
            losses (N,) by name. The first is `loss`, the differentiable total; the
            others are its terms, which are only reported.
        """
        return {"loss": self(pixels, targets)}

    def score(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the scores (N,) of N images; higher is better.

        Scores are reported, and choose the best image of a generation. By default the
        score is minus the loss.

        Args:
            pixels: (N, 3, h, w) in [0, 1]; h = w = `input_size` unless that is None.
            targets: result of `prepare`, each tensor with leading dimension N.
        """
        return -self(pixels, targets)

    @override
    def train(self, mode: bool = True) -> Guide:
        """Stay in eval mode, whatever mode a surrounding module is put in."""
        return super().train(False)


def freeze(module: ModuleT) -> ModuleT:
    """Put a module in eval mode, turn its parameters' gradients off, and return it."""
    return module.eval().requires_grad_(False)


def repeat(targets: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
    """Return each target repeated k times, for (N, k) views flattened to (N k).

    Args:
        targets: tensors with leading dimension N.
        k: number of views of each image.

    Returns:
        tensors with leading dimension N k; the copies of a target are adjacent.
    """
    return {
        name: target.repeat_interleave(k, dim=0) for name, target in targets.items()
    }
