"""LatentSGD: momentum descent that keeps the latent pair on its shell."""

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
    """SGD with momentum and the projections of DOODL, in one order.

    1. g = `lr` x gradient, 2. its mean over the pair (`tie_gradients`), 3. every
    element clipped to +-`clip`, 4. m = `momentum` m + g, 5. z = z - m + `noise_scale`
    x noise, the same noise for both latents, 6. the pair averaged (`average_pair`),
    7. each latent rescaled to the norm of its initial draw (`renormalize`).

    With all but momentum turned off it is `torch.optim.SGD`. The only parameter is
    `latents`, (2, B, C, h, w); generations of the batch never mix.

    Args:
        params: the latent pair.
        lr: the paper's lambda, before the clip.
        momentum: m's decay, without dampening or Nesterov.
        clip: largest magnitude of an element of g; None for no clip.
        noise_scale: standard deviation of the noise.
        tie_gradients: give both latents the mean gradient.
        average_pair: give both latents the mean latent. Never when editing, where the
            pair starts as two different latents.
        renormalize: keep each latent's norm.

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
        """Begin a new batch of generations, at update 0, whose norms are kept.

        A batch that was interrupted goes on bit for bit when it is started again and
        its `state_dict` loaded.

        Args:
            seeds: of the batch's generations, for their noise.
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
        """Do one update of the generations that are `active`, (B,) bool, or of all.

        Afterwards `last` has `grad_norm` and `clipped_fraction`, (B,) each.
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
        """Return standard normal noise (B, C, h, w) of the generations' own streams."""
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
    """Make an optimiser of an empty pair, to refuse bad settings early.

    Args:
        make: makes the optimiser from its parameters.
        editing: whether the pair starts as two different latents.

    Raises:
        ValueError: it is no `LatentSGD`, refuses its own settings, or averages a pair
            of different latents.
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
