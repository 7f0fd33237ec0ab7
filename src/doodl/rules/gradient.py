"""Transforms of the gradient g that remember nothing."""

from __future__ import annotations

import math

from typing_extensions import override

from doodl import latents as pairs
from doodl.rules.base import Transform, Update
from doodl.white_noise import whiten


class Scale(Transform):
    """Multiplies by the optimiser's learning rate:  g <- lr g.

    It stands where the learning rate belongs: before `Clip` in the paper's rule, after
    transforms that forget how large the gradient was.
    """

    @override
    def __call__(self, update: Update) -> None:
        update.step = update.lr * update.step


class Tie(Transform):
    """Gives both latents of a pair the mean gradient:  g_x, g_y <- (g_x + g_y) / 2."""

    @override
    def __call__(self, update: Update) -> None:
        update.step = pairs.average(update.step)


class Clip(Transform):
    """Clips every element to +-`clip`.

    Reports `clipped_fraction`, the share of elements that were clipped.

    Args:
        clip: largest magnitude of an element; None for no clip.

    Raises:
        ValueError: `clip` is not positive and finite.
    """

    def __init__(self, clip: float | None = 1e-3) -> None:
        if clip is not None and not (math.isfinite(clip) and clip > 0):
            raise ValueError(
                "Expected a positive and finite clip, or null for none, received "
                f"{clip}."
            )
        self.clip = clip

    @override
    def __call__(self, update: Update) -> None:
        if self.clip is not None:
            g = update.step
            clipped = (g.abs() > self.clip).flatten(2).float().mean(dim=(0, 2))
            update.report["clipped_fraction"] = clipped
            update.step = g.clamp(-self.clip, self.clip)


class Whiten(Transform):
    """Projects the gradient onto the spectra of white noise (`white_noise.whiten`).

    The gradient of a loss through a generator is mostly of low frequencies, and a step
    along it colours the noise. The projected gradient has a root mean square of 1, so
    that a learning rate of .01 is a step of .01 standard deviations. Its elements may
    still differ much: projecting alone leaves the energy of the step at the objects of
    the picture. A `Clip` after it, and `Normalize`, keep the kurtosis of the latents
    near 3, that of white noise.

    References:
        arXiv 2602.08646.
    """

    @override
    def __call__(self, update: Update) -> None:
        update.step = whiten(update.step)


class Normalize(Transform):
    """Rescales each latent's gradient to a root mean square of 1.

    With n numbers of a latent,  g <- sqrt(n) g / ||g||;  a zero gradient remains one.
    """

    @override
    def __call__(self, update: Update) -> None:
        update.step = pairs.normalize(update.step)
