"""LatentSGD: SGD with momentum that keeps the norms of the latent pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from doodl import latents as pairs


class LatentSGD(Optimizer):
    """SGD with momentum and the projections of DOODL, applied in a fixed order.

    An update computes

    1. g = `lr` * gradient
    2. g <- the mean of g over the pair, if `tie_gradients`
    3. g <- g with every element clipped to [-`clip`, `clip`]
    4. m <- `momentum` * m + g
    5. z <- z - m + `noise_scale` * noise, with the same noise for both latents
    6. z <- the mean of z over the pair, if `average_pair`
    7. z <- z rescaled to the norms of the initial latents, if `renormalize`

    Without clip, noise and the three options it equals `torch.optim.SGD`. The only
    parameter is `latents`, (2, B, C, h, w); generations do not influence each other.

    Args:
        params: the latent pair.
        lr: the paper's lambda; it multiplies the gradient before the clip.
        momentum: decay of the momentum buffer m, without dampening or Nesterov.
        clip: largest magnitude of an element of g; None for no clip.
        noise_scale: standard deviation of the noise.
        tie_gradients: replace the gradients of both latents with their mean.
        average_pair: replace both latents with their mean. It must be false when
            editing, where the pair starts as two different latents.
        renormalize: rescale each latent to the norm that it had initially.

    References:
        Wallace et al., arXiv 2303.13703, Algorithm 1, in the released code's order.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        momentum: float = 0.9,
        *,
        clip: float | None = 1e-3,
        noise_scale: float = 1e-4,
        tie_gradients: bool = True,
        average_pair: bool = True,
        renormalize: bool = True,
    ) -> None:
        if not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"Expected a positive and finite lr, received {lr}.")
        if not 0 <= momentum < 1:
            raise ValueError(f"Expected a momentum in [0, 1), received {momentum}.")
        if clip is not None and not (math.isfinite(clip) and clip > 0):
            raise ValueError(
                "Expected a positive and finite clip, or null for none, received "
                f"{clip}."
            )
        if not (math.isfinite(noise_scale) and noise_scale >= 0):
            raise ValueError(
                f"Expected a noise_scale of 0 or more, received {noise_scale}."
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "clip": clip,
            "noise_scale": noise_scale,
            "tie_gradients": tie_gradients,
            "average_pair": average_pair,
            "renormalize": renormalize,
        }
        super().__init__(params, defaults)
        self.seeds: list[int] = []
        self.active: Tensor | None = None
        self.last: dict[str, Tensor] = {}

    def start(self, seeds: Sequence[int]) -> None:
        """Begin a new batch at update 0; store its norms, and clear the momentum.

        To resume an interrupted batch bit for bit, start it again and then load the
        saved `state_dict`.

        Args:
            seeds: one seed for each generation, for the noise of the updates.
        """
        self.seeds = list(seeds)
        self.active = None
        self.last = {}
        self.state.clear()
        for latents in self._parameters():
            self.state[latents] = {
                "update": 0,
                "momentum": torch.zeros_like(latents),
                "norms": pairs.norms(latents.detach()),
            }

    @override
    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], Tensor | None] | None = None
    ) -> Tensor | None:
        """Update the generations where `active`, (B,) bool, is true; None means all.

        Afterwards `last` contains `grad_norm` and, with a clip, `clipped_fraction`,
        (B,) each.

        Returns:
            the value of the closure; None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for latents in group["params"]:
                if latents.grad is not None:
                    self._update(latents, latents.grad, group)
        return loss

    def _update(self, latents: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        if latents not in self.state:
            self.start(self.seeds)
        state, clip = self.state[latents], group["clip"]
        g = group["lr"] * gradient
        if group["tie_gradients"]:
            g = pairs.average(g)
        self.last = {"grad_norm": pairs.norms(g).mean(dim=0)}
        if clip is not None:
            clipped = (g.abs() > clip).flatten(2).float().mean(dim=(0, 2))
            self.last["clipped_fraction"] = clipped
            g = g.clamp(-clip, clip)
        m = group["momentum"] * state["momentum"] + g
        z = latents - m
        if group["noise_scale"]:
            noise = self._noise(latents, state["update"])
            z = pairs.perturb(z, noise, group["noise_scale"])
        if group["average_pair"]:
            z = pairs.average(z)
        if group["renormalize"]:
            z = pairs.renormalize(z, state["norms"])
        moves = self._mask(latents)
        latents.copy_(torch.where(moves, z, latents))
        state["momentum"] = torch.where(moves, m, state["momentum"])
        state["update"] += 1

    def _noise(self, latents: Tensor, update: int) -> Tensor:
        """Return standard normal noise (B, C, h, w), seeded by each generation."""
        if len(self.seeds) != latents.shape[1]:
            raise RuntimeError(
                f"LatentSGD has noise for {len(self.seeds)} generations, but the pair "
                f"holds {latents.shape[1]}: call start(seeds) when a batch begins."
            )
        return pairs.noise(self.seeds, "noise", update, latents.shape[2:]).to(latents)

    def _mask(self, latents: Tensor) -> Tensor:
        active = self.active
        if active is None:
            active = torch.ones(latents.shape[1], dtype=torch.bool)
        return active.to(latents.device)[None, :, None, None, None]

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]


def check_optimizer(
    make: Callable[[Iterable[Tensor]], Optimizer], *, editing: bool
) -> LatentSGD:
    """Return an optimiser of an empty pair, which shows early if settings are invalid.

    Args:
        make: makes the optimiser from its parameters.
        editing: whether the pair starts as two different latents.

    Raises:
        ValueError: the optimiser is not a `LatentSGD`, refuses its settings, or
            averages a pair of different latents.
    """
    trial = make([torch.zeros(2, 0, 1, 1, 1)])
    if not isinstance(trial, LatentSGD):
        raise ValueError(
            f"Expected the optimizer LatentSGD or a subclass of it, received "
            f"{type(trial).__name__}, which knows no generations."
        )
    if editing and trial.defaults.get("average_pair"):
        raise ValueError(
            "Expected average_pair false with an edit, received true: the pair that "
            "makes a given picture is two different latents, and their mean makes "
            "another one; set model.optimizer.init_args.average_pair false."
        )
    return trial
