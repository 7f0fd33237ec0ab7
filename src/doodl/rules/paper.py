"""The paper's rule."""

from __future__ import annotations

from doodl.rules.base import Transform
from doodl.rules.gradient import Clip, Scale, Tie
from doodl.rules.memory import Momentum
from doodl.rules.move import Average, Descend, Noise, Renormalize


def paper_rule(
    *,
    momentum: float,
    clip: float | None,
    noise_scale: float,
    tie_gradients: bool,
    average_pair: bool,
    renormalize: bool,
    nesterov: bool = False,
) -> list[Transform]:
    """Return the rule of `doodl.optimizer.LatentSGD`; the arguments are the same.

    References:
        Wallace et al., arXiv 2303.13703, Algorithm 1, in the released code's order.
    """
    return [
        Scale(),
        *([Tie()] if tie_gradients else []),
        Clip(clip),
        Momentum(momentum, nesterov),
        Descend(),
        Noise(noise_scale),
        *([Average()] if average_pair else []),
        *([Renormalize()] if renormalize else []),
    ]
