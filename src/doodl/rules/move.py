"""Transforms of the latents z: the move by the step g, and what follows it.

Those after the move are of DOODL (Wallace et al., arXiv 2303.13703, Algorithm 1).
"""

from __future__ import annotations

import math

from typing_extensions import override

from doodl import latents as pairs
from doodl.rules.base import Transform, Update


class Descend(Transform):
    """Moves against the step:  z <- z - g."""

    stage = "move"

    @override
    def __call__(self, update: Update) -> None:
        update.latents = update.latents - update.step


class Noise(Transform):
    """Adds the same noise to both latents:  z <- z + `noise_scale` xi,  xi ~ N(0, I).

    It belongs to seed and update, so that it can be resumed.

    Args:
        noise_scale: standard deviation of the noise.

    Raises:
        ValueError: `noise_scale` is negative or not finite.
    """

    stage = "latents"

    def __init__(self, noise_scale: float = 1e-4) -> None:
        if not (math.isfinite(noise_scale) and noise_scale >= 0):
            raise ValueError(
                f"Expected a noise_scale of 0 or more, received {noise_scale}."
            )
        self.noise_scale = noise_scale

    @override
    def __call__(self, update: Update) -> None:
        if not self.noise_scale:
            return
        z, seeds = update.latents, update.seeds
        if len(seeds) != z.shape[1]:
            raise RuntimeError(
                f"The optimizer has noise for {len(seeds)} generations, but the pair "
                f"holds {z.shape[1]}: call start(seeds) when a batch begins."
            )
        noise = pairs.noise(seeds, "noise", update.number, z.shape[2:]).to(z)
        update.latents = pairs.perturb(z, noise, self.noise_scale)


class Average(Transform):
    """Gives both latents (x, y) their mean:  x, y <- (x + y) / 2.

    Never when editing: there the pair differs.
    """

    stage = "latents"
    merges_pair = True

    @override
    def __call__(self, update: Update) -> None:
        update.latents = pairs.average(update.latents)


class Renormalize(Transform):
    """Rescales each latent to the norm of its initial draw z_0.

    That is  z <- z ||z_0|| / ||z||.  Noise of n numbers has a norm near sqrt(n), which
    the move changes.
    """

    stage = "latents"

    @override
    def __call__(self, update: Update) -> None:
        update.latents = pairs.renormalize(update.latents, update.norms)
