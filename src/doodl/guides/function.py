"""A guide from any function of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from doodl.guides.base import Guide, freeze


class Function(Guide):
    """The losses that a function or a module computes from pixels.

    Args:
        function: maps pixels (N, 3, H, W) in [0, 1] to losses (N,), lower is better,
            and treats its N inputs independently (no batch norm). A module is frozen;
            a metric of torchmetrics (with `reduction="none"`) is reset after each call.

    Raises:
        ValueError: `function` cannot be called.
    """

    def __init__(self, function: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        if not callable(function):
            raise ValueError(
                "Expected a guide, or a function from pixels (B, 3, H, W) to losses "
                f"(B,), received {type(function).__name__}."
            )
        self.function = function
        if isinstance(function, nn.Module):
            freeze(function)

    @override
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        losses, name = self.function(pixels), _name(self.function)
        reset = getattr(self.function, "reset", None)
        if reset is not None and isinstance(self.function, nn.Module):
            reset()  # a metric would keep the graphs of all calls
        shape = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses)
        if shape != (len(pixels),):
            raise ValueError(
                f"Expected losses of shape ({len(pixels)},), one for each picture, "
                f"from the function {name}, received {shape}; take the mean over "
                "channels, rows and columns, not over pictures."
            )
        wanted = torch.is_grad_enabled() and pixels.requires_grad
        if wanted and not losses.requires_grad:
            raise ValueError(
                f"Expected losses with a gradient from the function {name}, received "
                "constants; do not detach them or convert them to numbers."
            )
        return losses


def _name(function: object) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
