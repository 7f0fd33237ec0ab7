"""The transform that remembers earlier gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from doodl.rules.base import Transform, Update


class Momentum(Transform):
    """Adds what is left of earlier steps:  m <- `momentum` m + g,  g <- m.

    It has no dampening: a constant gradient is amplified up to 1 / (1 - `momentum`).

    Args:
        momentum: decay of m in [0, 1).
        nesterov: whether the step looks ahead:  g <- g + `momentum` m, as in
            `torch.optim.SGD`.

    Raises:
        ValueError: `momentum` is out of range.
    """

    def __init__(self, momentum: float = 0.9, nesterov: bool = False) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"Expected a momentum in [0, 1), received {momentum}.")
        self.momentum, self.nesterov = momentum, nesterov

    @override
    def start(self, latents: Tensor) -> dict[str, Tensor]:
        return {"momentum": torch.zeros_like(latents)}

    @override
    def __call__(self, update: Update) -> None:
        m = self.momentum * update.memory["momentum"] + update.step
        update.memory["momentum"] = m
        update.step = update.step + self.momentum * m if self.nesterov else m
