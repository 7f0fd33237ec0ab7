"""How the networks are run: settings that change an image by round-off at most."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from doodl.pretrained import TextToImage

Losses = Callable[..., tuple[Tensor, ...]]
"""Maps tensors of leading dimension N to losses (N,) and further results (N, ...)."""

Method = TypeVar("Method", bound=Callable[..., Any])

LARGE = 512 * 512
"""Pixels from which on the decoder needs more memory than a call of the U-Net."""


@dataclass(frozen=True)
class Execution:
    """How the networks are run; the defaults suit a CPU.

    Args:
        compile: `torch.compile` denoiser and decoder; the first update takes minutes.
        channels_last: store their weights as NHWC, which convolutions of 16-bit numbers
            on a GPU prefer.
        image_by_image: decode and score one picture at a time. By default true on a
            CPU, where a batch is hardly faster, and for pictures of 512 x 512 pixels or
            more, for which the decoder would set the peak of memory.
        offload: keep the text encoders in main memory, except while they encode the
            prompts of a batch.
    """

    compile: bool = False
    channels_last: bool = False
    image_by_image: bool | None = None
    offload: bool = False

    def prepare(self, model: TextToImage) -> None:
        """Change the model's networks in place, before their first call."""
        for network in (model.denoiser, model.vae.decoder):
            if self.channels_last:
                network.to(memory_format=torch.channels_last)
            if self.compile:
                network.compile()
        if self.offload:
            for encoder in model.text_encoders():
                encoder.to("cpu")

    @contextmanager
    def reading(self, model: TextToImage) -> Iterator[None]:
        """Move the text encoders to the model's device while the block runs."""
        if not self.offload:
            yield
            return
        try:
            for encoder in model.text_encoders():
                encoder.to(model.device)
            yield
        finally:  # a failing batch must not leave them in the accelerator's memory
            for encoder in model.text_encoders():
                encoder.to("cpu")

    def losses(
        self, function: Losses, inputs: Tensor, *others: Tensor, pixels: int
    ) -> tuple[Tensor, ...]:
        """Return a function's losses of N pictures, one by one if that saves memory.

        Args:
            function: must treat its N inputs independently (no batch norm).
            inputs: tensor (N, ...) by which the losses can be differentiated.
            others: further tensors with leading dimension N.
            pixels: height times width of one picture.
        """
        if self.apart(inputs.device, pixels):
            return picture_by_picture(function, inputs, *others)
        return function(inputs, *others)

    def apart(self, device: torch.device, pixels: int) -> bool:
        """Return whether pictures of this size are decoded and scored one by one."""
        if self.image_by_image is not None:
            return self.image_by_image
        return device.type == "cpu" or pixels >= LARGE


def in_network_precision(method: Method) -> Method:
    """Return a method that runs in the context that its object's `precision()` makes.

    Networks are called in one precision wherever they are called: updates, the last
    rendering, prompts, inversions and baselines.
    """

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.precision():
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


def picture_by_picture(
    function: Losses, inputs: Tensor, *others: Tensor
) -> tuple[Tensor, ...]:
    """Return `function(inputs, *others)`, computed for one of the N inputs at a time.

    The gradient of each loss is taken right after the loss. Nothing is computed twice,
    and the activations of only one input exist at any time.

    Args:
        function: called with tensors of leading dimension 1; must treat its N inputs
            independently (no batch norm).
        inputs: tensor (N, ...) by which the losses can be differentiated.
        others: further tensors with leading dimension N.

    Returns:
        the losses (N,), which can be differentiated once by `inputs`, and the further
        results, which are constants.
    """
    if not (torch.is_grad_enabled() and inputs.requires_grad):
        return _join(_each(function, inputs, *others))
    return PictureByPicture.apply(function, inputs, *others)


class PictureByPicture(torch.autograd.Function):
    """Losses of which forward stores the gradients, in place of activations."""

    @staticmethod
    def forward(
        ctx: Any, function: Losses, inputs: Tensor, *others: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute losses and gradients, one input at a time."""
        gradients: list[Tensor] = []

        def with_gradient(one: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            one = one.detach().requires_grad_()
            with torch.enable_grad():
                found = function(one, *rest)
                gradients.extend(torch.autograd.grad(found[0].sum(), one))
            return tuple(part.detach() for part in found)

        found = _join(_each(with_gradient, inputs, *others))
        ctx.save_for_backward(torch.cat(gradients))
        ctx.mark_non_differentiable(*found[1:])
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Weight the stored gradients."""
        (gradients,) = ctx.saved_tensors
        shape = (-1, *[1] * (gradients.dim() - 1))
        rest = [None] * (len(ctx.needs_input_grad) - 2)
        return None, gradients * weights.view(shape), *rest


def _each(function: Losses, *inputs: Tensor) -> list[tuple[Tensor, ...]]:
    parts = zip(*(tensor.split(1) for tensor in inputs), strict=True)
    return [function(*part) for part in parts]


def _join(found: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))
