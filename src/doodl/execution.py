"""How the networks are run: what changes an image by round-off at most."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from doodl.one_by_one import Losses, one_by_one
from doodl.pretrained import TextToImage

Method = TypeVar("Method", bound=Callable[..., Any])
LARGE = 512 * 512
"""Pixels of a picture whose decoder needs more memory than a call of the U-Net."""


@dataclass(frozen=True)
class Execution:
    """How the networks are run; the defaults suit a CPU.

    Args:
        compile: `torch.compile` denoiser and decoder; the first update takes minutes.
        channels_last: store their weights as NHWC, which convolutions of 16-bit numbers
            on a GPU prefer.
        image_by_image: decode and look at one picture at a time; by default on a CPU,
            where a batch is hardly faster, and where pictures have 512 x 512 pixels or
            more, whose decoder would be the peak of memory.
        offload: keep the text encoders in main memory but for the moment at which a
            batch's prompts are read.
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
        """Have the text encoders where the model is."""
        if not self.offload:
            yield
            return
        for encoder in model.text_encoders():
            encoder.to(model.device)
        yield
        for encoder in model.text_encoders():
            encoder.to("cpu")

    def losses(
        self, function: Losses, inputs: Tensor, *others: Tensor, pixels: int
    ) -> tuple[Tensor, ...]:
        """Return a function's losses of N pictures, one by one if that saves memory.

        Args:
            function: of tensors with leading dimension N.
            inputs: what the losses are differentiated by.
            others: further tensors with leading dimension N.
            pixels: height times width of one picture.
        """
        if self.apart(inputs.device, pixels):
            return one_by_one(function, inputs, *others)
        return function(inputs, *others)

    def apart(self, device: torch.device, pixels: int) -> bool:
        """Return whether pictures of a size are taken one by one."""
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
