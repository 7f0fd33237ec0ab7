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

    def to(self, dtype: torch.dtype) -> Conditioning:
        """Return it with all its floating-point tensors in a precision."""

        def cast(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
            floats = {k: v.to(dtype) for k, v in named.items() if v.is_floating_point()}
            return {**named, **floats}

        negative = self.negative and cast(self.negative)
        return Conditioning(cast(self.positive), negative)

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
        interval: first and last timestep, both included, at which there is guidance;
            by default at all. Others make no unconditional call.

    Raises:
        ValueError: for a scale that is no number, or an interval without a timestep.

    References:
        Kynkaanniemi et al., Applying Guidance in a Limited Interval Improves Sample and
        Distribution Quality in Diffusion Models, arXiv 2404.07724.
    """

    def __init__(
        self,
        network: Callable[..., Tensor],
        guidance_scale: float = 7.5,
        dtype: torch.dtype | None = None,
        interval: tuple[int, int] | None = None,
    ) -> None:
        if not math.isfinite(guidance_scale):
            raise ValueError(
                f"Expected a finite guidance_scale, received {guidance_scale}."
            )
        if interval is not None and not interval[0] <= interval[1]:
            raise ValueError(
                f"Expected the guidance interval's first timestep not above its last, "
                f"received {interval[0]} and {interval[1]}."
            )
        self.network = network
        self.guidance_scale = guidance_scale
        self.dtype = dtype
        self.interval = interval

    def guides(self, timestep: float) -> bool:
        """Return whether there is guidance at a timestep."""
        if self.guidance_scale == 1:
            return False
        return self.interval is None or (
            self.interval[0] <= timestep <= self.interval[1]
        )

    def __call__(
        self, z: Tensor, timestep: float, conditioning: Conditioning
    ) -> Tensor:
        """Return the prediction (B, C, h, w) in the precision of z.

        Args:
            z: (B, C, h, w).
            timestep: a number, so that nothing here waits for the device.
            conditioning: with leading dimension B.
        """
        inputs = z.to(self.dtype or z.dtype)
        if conditioning.negative is None or not self.guides(timestep):
            return self._call(inputs, timestep, conditioning.positive).to(z.dtype)
        doubled = torch.cat((inputs, inputs))
        prediction = self._call(doubled, timestep, conditioning.both).to(z.dtype)
        unconditional, conditional = prediction.chunk(2)
        return unconditional + self.guidance_scale * (conditional - unconditional)

    def _call(
        self, z: Tensor, timestep: float, conditioning: Mapping[str, Tensor]
    ) -> Tensor:
        # Filled on the device: a tensor of this number would have to be copied there.
        timesteps = torch.full((len(z),), timestep, device=z.device)
        return self.network(z, timesteps, **conditioning)
