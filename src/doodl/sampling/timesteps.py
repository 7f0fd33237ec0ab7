"""Timesteps of a chain: which of the training timesteps a number of steps visits.

Every function takes the number of steps T, and the number N of training timesteps, and
returns T timesteps in [0, N - 1], noisiest first. `SPACINGS` lists them by the name
that a diffusers scheduler's `timestep_spacing` has.
"""

from __future__ import annotations

from collections.abc import Callable


def leading(num_steps: int, total: int, *, offset: int = 0, **_: int) -> list[int]:
    """Multiples of N // T plus an offset:  t_i = i (N // T) + offset."""
    ratio = total // num_steps
    return [min(i * ratio + offset, total - 1) for i in reversed(range(num_steps))]


def trailing(num_steps: int, total: int, **_: int) -> list[int]:
    """Steps back from the noisiest timestep:  t_i = round(N - i N / T) - 1."""
    # diffusers rounds the multiples of this difference (numpy.arange); multiples of
    # the ratio itself round to the other side where they end in one half.
    stride = total - (total - total / num_steps)
    return [round(total - i * stride) - 1 for i in range(num_steps)]


def linspace(num_steps: int, total: int, **_: int) -> list[int]:
    """Evenly spaced with both ends:  t_i = round(i (N - 1) / (T - 1))."""
    stride = (total - 1) / max(num_steps - 1, 1)
    return [round(i * stride) for i in reversed(range(num_steps))]


def consistency(
    num_steps: int, total: int, *, distilled: int = 50, **_: int
) -> list[int]:
    """T of the timesteps that a latent consistency model was distilled for.

    References:
        Luo et al., Latent Consistency Models, arXiv 2310.04378.
    """
    ratio = total // distilled
    return [
        (distilled - i * distilled // num_steps) * ratio - 1 for i in range(num_steps)
    ]


SPACINGS: dict[str, Callable[..., list[int]]] = {
    "leading": leading,
    "trailing": trailing,
    "linspace": linspace,
    "consistency": consistency,
}
