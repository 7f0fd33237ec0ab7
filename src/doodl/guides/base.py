"""What a guide is: a loss on pixels toward targets that belong to generations."""

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
    """A frozen network and its loss.

    The constructor only stores and checks settings, so that bad input is found before
    any network is loaded; `load` loads, once. A guide is always in eval mode.

    A new guide needs `forward`, and `prepare` if it has targets; `Symmetry` is the
    smallest example.

    Attributes:
        input_size: side of the square picture it takes, known after `load`;
            None if it takes any.
        losses: the parts (N,) that the last loss was made of, by name, if it has parts.
    """

    input_size: int | None = None
    losses: Mapping[str, Tensor] = {}

    def load(self, device: torch.device | str = "cpu") -> None:
        """Load the frozen networks onto `device`; a second call only moves them."""
        self.to(device)

    def check(self, generations: Sequence[Generation]) -> None:
        """Refuse generations that it has no target for, before anything is loaded.

        Raises:
            ValueError: in one sentence that names the prompt.
        """

    def prepare(self, generations: Sequence[Generation]) -> dict[str, Tensor]:
        """Targets of B generations, computed once for a batch of them.

        Returns:
            Named tensors, each with a leading dimension B.
        """
        return {}

    @abstractmethod
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Losses of N pictures, lower is better.

        Args:
            pixels: (N, 3, h, w) in [0, 1]; h = w = `input_size` where there is one.
            targets: what `prepare` gave, with leading dimension N.

        Returns:
            (N,)
        """

    def terms(self, pixels, targets):
        whole = self(pixels, targets)
        return {"loss": whole, **self.losses}

    def score(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """What is reported of N pictures, (N,), higher is better: minus the loss."""
        return -self(pixels, targets)

    @override
    def train(self, mode: bool = True) -> Guide:
        return super().train(False)


def freeze(module: ModuleT) -> ModuleT:
    """The same module, in eval mode and without parameters that need gradients."""
    return module.eval().requires_grad_(False)


def repeat(targets: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
    """Targets of (N, k) views flattened to N * k: each N stands k times in a row."""
    return {
        name: target.repeat_interleave(k, dim=0) for name, target in targets.items()
    }
