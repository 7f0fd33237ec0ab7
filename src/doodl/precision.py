"""The precision of the networks, which never touches the latents."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.plugins import MixedPrecision, Precision
from lightning.pytorch.plugins.precision import HalfPrecision
from torch import nn
from typing_extensions import override

WEIGHTS = {
    "32-true": torch.float32,
    "bf16-true": torch.bfloat16,
    "16-true": torch.float16,
    "64-true": torch.float64,
    "bf16-mixed": torch.float32,
    "16-mixed": torch.float32,
}
"""What the weights of the model's networks are stored in."""
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class NetworkPrecision(Precision):
    """Runs the networks in a precision, and leaves the latents and their steps alone.

    `bf16-true` and `16-true` store the weights of denoiser, text encoders and decoder
    in 16 bits; `bf16-mixed` and `16-mixed` keep them and cast where it is safe, guides
    included. Nothing scales the loss or skips an update: a gradient that is not finite
    ends its generation.

    Args:
        precision: as `trainer.precision`.

    Raises:
        ValueError: a precision that networks cannot have.
    """

    def __init__(self, precision: str = "32-true") -> None:
        names = {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}
        names["16"] = "16-mixed"
        self.precision: Any = names.get(str(precision), str(precision))
        if self.precision not in WEIGHTS:
            raise ValueError(
                f"Expected a precision of {', '.join(WEIGHTS)}, received '{precision}'."
            )

    @override
    def convert_module(self, module: nn.Module) -> nn.Module:
        self.module: Any = module  # as it is; it will know the device
        return module

    @override
    def forward_context(self) -> AbstractContextManager[Any]:
        dtype = AUTOCAST.get(self.precision)
        if dtype is None:
            return nullcontext()
        return torch.autocast(self.module.device.type, dtype)


def weights_of(trainer: Trainer) -> torch.dtype:
    """Return what the networks' weights are stored in.

    Raises:
        ValueError: the trainer's precision would change the latents or their gradient.
    """
    plugin = trainer.precision_plugin
    if isinstance(plugin, HalfPrecision | MixedPrecision) or (
        str(plugin.precision) not in WEIGHTS
    ):
        raise ValueError(
            f"Expected a precision that leaves the latents alone, received "
            f"trainer.precision {plugin.precision}; give the Trainer "
            f"plugins=NetworkPrecision('{plugin.precision}') in its place."
        )
    return WEIGHTS[str(plugin.precision)]


def sixteen_bits(trainer: Trainer) -> bool:
    """Return whether networks compute in 16 bits."""
    name = str(trainer.precision_plugin.precision)
    return name in AUTOCAST or WEIGHTS.get(name, torch.float32).itemsize == 2


def refuse_trainer_settings(trainer: Trainer) -> None:
    """Refuse a trainer that would change the gradient, or leave updates out.

    Raises:
        ValueError: it clips gradients, adds those of several updates, or ends a batch
            of generations before its updates are done.
    """
    limit = trainer.limit_train_batches
    # The first two set the others as well.
    names = ("fast_dev_run", "overfit_batches")
    early: dict[str, Any] = {name: getattr(trainer, name) for name in names}
    early["max_steps"] = trainer.max_steps != -1 and trainer.max_steps
    early["limit_train_batches"] = (isinstance(limit, int) or limit < 1) and limit
    for name, value in early.items():
        if value:
            raise ValueError(
                f"Expected no trainer.{name}, received {value}, which would end a "
                "generation before its updates are done; set model.num_updates."
            )
    if trainer.gradient_clip_val:
        raise ValueError(
            f"Expected no trainer.gradient_clip_val, received "
            f"{trainer.gradient_clip_val}; the optimiser's clip limits every element."
        )
    if trainer.accumulate_grad_batches != 1:
        raise ValueError(
            f"Expected trainer.accumulate_grad_batches of 1, received "
            f"{trainer.accumulate_grad_batches}; a training batch is one update."
        )
