"""The base of all guides, and the guide that any function of pixels is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from doodl.description import Described
from doodl.generation import Generation
from doodl.guides.returned import check_differentiable, check_shape

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
        reads: fields of a generation, besides its prompt, that targets are made from;
            a job that gives others is warned.
    """

    input_size: int | None = None
    reads: ClassVar[frozenset[str]] = frozenset()

    @staticmethod
    def from_callable(function: Callable[[Tensor], Tensor] | nn.Module) -> Guide:
        """Return the guide that a function or a module is: a `Function`.

        Args:
            function: maps pixels (N, 3, H, W) in [0, 1] to losses (N,).

        Raises:
            ValueError: `function` cannot be called.
        """
        return Function(function)

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


class Function(Guide):
    """The losses that a function or a module computes from pixels.

    Args:
        function: maps pixels (N, 3, H, W) in [0, 1] to losses (N,), lower is better,
            and treats its N inputs independently (no batch norm). A module is frozen;
            a metric of torchmetrics (with `reduction="none"`) is reset after each call.

    Raises:
        ValueError: `function` cannot be called.
    """

    def __init__(self, function: Callable[..., Any] | nn.Module) -> None:
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
            if losses.shape == () and len(pixels) == 1:
                losses = losses[None]  # a metric squeezes the loss of one picture
        check_shape(losses, len(pixels), name, "loss")
        if torch.is_grad_enabled() and pixels.requires_grad:
            check_differentiable(losses, name)
        return losses


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


def _name(function: object) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
