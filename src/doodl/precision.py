"""The precision of the networks; the latents keep their own."""

from __future__ import annotations

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
"""Type of the stored weights of the model's networks, by `trainer.precision`."""
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class NetworkPrecision(Precision):
    """Chooses the precision of the networks, and leaves latents and steps alone.

    `bf16-true` and `16-true` store the weights of denoiser, text encoders and decoder
    in 16 bits; `bf16-mixed` and `16-mixed` keep 32-bit weights and run all networks,
    guides included, under autocast. The `Renderer` applies both wherever it calls a
    network. Nothing scales the loss or skips an update: a gradient that is not finite
    ends its generation.

    Args:
        precision: value of `trainer.precision`.

    Raises:
        ValueError: the precision is not one of `WEIGHTS`.
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
        return module  # the latents keep their precision


def weights_of(trainer: Trainer) -> torch.dtype:
    """Return the type of the networks' stored weights.

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


def placement_of(trainer: Trainer) -> dict[str, Any]:
    """Return the arguments of `Renderer.load` that the trainer decides.

    Returns:
        `device`; `dtype` of the weights; `autocast`, the 16-bit type that networks
        compute in beside weights of 32 bits, or None.
    """
    return {
        "device": trainer.strategy.root_device,
        "dtype": weights_of(trainer),
        "autocast": AUTOCAST.get(str(trainer.precision_plugin.precision)),
    }
