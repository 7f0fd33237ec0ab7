"""The denoiser: a network and classifier-free guidance, in one batched call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """What a network is told besides latent and timestep.

    Args:
        positive: named tensors with leading dimension B.
        negative: the same for the negative prompt; None for no guidance.
    """

    positive: Mapping[str, Tensor]
    negative: Mapping[str, Tensor] | None = None
    both: dict[str, Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Join both once, not at every call: negative first, as diffusers does."""
        both = {
            name: torch.cat((self.negative[name], value))
            for name, value in self.positive.items()
            if self.negative is not None
        }
        object.__setattr__(self, "both", both)


class GuidedDenoiser:
    """The guided prediction  f_u + w (f_c - f_u)  of a frozen network.

    Args:
        network: `network(z, timesteps, **conditioning)`, timesteps (N,).
        guidance_scale: w; 1 makes no unconditional call.
        dtype: what the network takes; by default the latent's own precision.
    """

    def __init__(
        self,
        network: Callable[..., Tensor],
        guidance_scale: float = 7.5,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not math.isfinite(guidance_scale):
            raise ValueError(
                f"guidance_scale must be a finite number, received {guidance_scale}"
            )
        self.network = network
        self.guidance_scale = guidance_scale
        self.dtype = dtype

    def __call__(
        self, z: Tensor, timestep: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """Return the prediction (B, C, h, w) in the precision of z.

        Args:
            z: (B, C, h, w).
            timestep: 0-d, on the device of z.
            conditioning: with leading dimension B.
        """
        inputs = z.to(self.dtype or z.dtype)
        if self.guidance_scale == 1 or conditioning.negative is None:
            return self._call(inputs, timestep, conditioning.positive).to(z.dtype)
        doubled = torch.cat((inputs, inputs))
        prediction = self._call(doubled, timestep, conditioning.both).to(z.dtype)
        unconditional, conditional = prediction.chunk(2)
        return unconditional + self.guidance_scale * (conditional - unconditional)

    def _call(
        self, z: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]
    ) -> Tensor:
        return self.network(z, timestep.expand(len(z)), **conditioning)
