"""Betas: the noise added at each training timestep, alpha_t^2 = prod (1 - beta)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def read_betas(config: Mapping[str, Any]) -> Tensor:
    """Return the betas (N,) in float32, in which diffusers computes them.

    Args:
        config: configuration of a diffusers scheduler.

    Raises:
        ValueError: the configuration names an unknown `beta_schedule`.
    """
    if config.get("trained_betas") is not None:
        return torch.tensor(config["trained_betas"], dtype=torch.float32)
    total = config.get("num_train_timesteps", 1000)
    start, end = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    kind = config.get("beta_schedule", "linear")
    if kind == "linear":
        return torch.linspace(start, end, total)
    if kind == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, total).square()
    if kind == "squaredcos_cap_v2":
        bar = [
            math.cos((i / total + 0.008) / 1.008 * math.pi / 2) ** 2
            for i in range(total + 1)
        ]
        return torch.tensor([min(1 - bar[i + 1] / bar[i], 0.999) for i in range(total)])
    raise ValueError(
        "Expected beta_schedule linear, scaled_linear or squaredcos_cap_v2, received "
        f"'{kind}'; use a scheduler whose noise levels DDIM can use."
    )


def zero_terminal(betas: Tensor) -> Tensor:
    """Return betas (N,) rescaled so that alpha is 0 at the noisiest timestep.

    References:
        Lin et al., arXiv 2305.08891, algorithm 1.
    """
    alphas = (1 - betas).cumprod(dim=0).sqrt()
    alphas = (alphas - alphas[-1]) * (alphas[0] / (alphas[0] - alphas[-1]))
    squared = alphas.square()
    return 1 - torch.cat((squared[:1], squared[1:] / squared[:-1]))
