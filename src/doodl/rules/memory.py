"""Transforms that remember earlier gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from doodl.rules.base import Transform, Update, per_generation


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
        m = self.momentum * update.recall("momentum") + update.step
        update.memory["momentum"] = m
        update.step = update.step + self.momentum * m if self.nesterov else m


class Adam(Transform):
    """Divides the mean of earlier gradients by their root mean square.

        m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,
        g <- (m / (1 - b1^n)) / (sqrt(v / (1 - b2^n)) + eps)

    at the n-th gradient. With `Scale` after it, it is `torch.optim.Adam`.

    Args:
        beta1: decay of m in [0, 1).
        beta2: decay of v in [0, 1).
        eps: keeps the quotient finite, above 0.

    Raises:
        ValueError: a value out of range.

    References:
        Kingma and Ba, arXiv 1412.6980.
    """

    def __init__(
        self, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if not 0 <= beta < 1:
                raise ValueError(f"Expected a {name} in [0, 1), received {beta}.")
        if not eps > 0:
            raise ValueError(f"Expected an eps above 0, received {eps}.")
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    @override
    def start(self, latents: Tensor) -> dict[str, Tensor]:
        zero = torch.zeros_like(latents)
        return {
            "adam_mean": zero,
            "adam_square": zero.clone(),
            "adam_count": per_generation(latents),
        }

    @override
    def __call__(self, update: Update) -> None:
        g, count = update.step, update.recall("adam_count") + 1
        m = self.beta1 * update.recall("adam_mean") + (1 - self.beta1) * g
        v = self.beta2 * update.recall("adam_square") + (1 - self.beta2) * g.square()
        unbiased = m / (1 - self.beta1**count)
        root = v.sqrt() / (1 - self.beta2**count).sqrt()
        update.step = unbiased / (root + self.eps)
        update.memory |= {"adam_mean": m, "adam_square": v, "adam_count": count}
