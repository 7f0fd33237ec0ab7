"""A guide from any function of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from doodl.guides.base import Guide, freeze
from doodl.guides.returned import check_differentiable, check_shape


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
        losses, name = self.function(pixels), f"the function {_name(self.function)}"
        reset = getattr(self.function, "reset", None)
        if reset is not None and isinstance(self.function, nn.Module):
            reset()  # a metric would keep the graphs of all calls
        check_shape(losses, len(pixels), name, "loss")
        if torch.is_grad_enabled() and pixels.requires_grad:
            check_differentiable(losses, name)
        return losses


def _name(function: object) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
