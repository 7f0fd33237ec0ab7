"""Optimisers of the latent pair: a rule of any transforms, and the paper's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from doodl import latents as pairs
from doodl.rules import Scale, Transform, Update
from doodl.rules.base import check_rule
from doodl.rules.paper import paper_rule


class LatentOptimizer(Optimizer):
    """Updates the latent pair by a rule: a sequence of transforms from `doodl.rules`.

    The only parameter is `latents`, (2, B, C, h, w); generations of the batch never
    mix.

    Args:
        params: the latent pair.
        rule: the transforms of an update, in their order.
        lr: learning rate, by which `Scale` multiplies where it stands in the rule.

    Attributes:
        active: (B,) bool, the generations that are updated; None for all.
        losses: (B,) of the latents before the step, lower is better, for a rule that
            asks for them; set before every step.
        last: what the last update reports, (B,) each, `grad_norm` among it.

    Raises:
        ValueError: the rule cannot work, or `lr` is not positive and finite.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        rule: Sequence[Transform],
        lr: float = 1.0,
    ) -> None:
        if not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"Expected a positive and finite lr, received {lr}.")
        check_rule(rule)
        if lr != 1 and not any(isinstance(part, Scale) for part in rule):
            raise ValueError(
                f"Expected Scale in the rule, since lr {lr} applies there, received "
                "none; add it or leave lr out."
            )
        super().__init__(params, {"lr": lr})
        self.transforms = list(rule)
        self.seeds: list[int] = []
        self.active: Tensor | None = None
        self.losses: Tensor | None = None
        self.last: dict[str, Tensor] = {}

    def rule(self, group: dict[str, Any]) -> list[Transform]:
        """Return the transforms of an update with a parameter group's settings."""
        return self.transforms

    @property
    def settings(self) -> dict[str, Any]:
        """All that updates depend on, by name."""
        return {**self.defaults, "rule": self.transforms}

    @property
    def merges_pair(self) -> bool:
        """Whether both latents of a pair become the same one."""
        return any(part.merges_pair for part in self.rule(self.defaults))

    def start(self, seeds: Sequence[int]) -> None:
        """Begin a new batch at update 0; store its norms, and clear the rule's memory.

        To resume an interrupted batch bit for bit, start it again and then load the
        saved `state_dict`.

        Args:
            seeds: one seed for each generation, for the noise of the updates.
        """
        self.seeds = list(seeds)
        self.active = self.losses = None
        self.last = {}
        self.state.clear()
        for group in self.param_groups:
            for latents in group["params"]:
                state = {"update": 0, "norms": pairs.norms(latents.detach())}
                for transform in self.rule(group):
                    state |= transform.start(latents.detach())
                self.state[latents] = state

    @override
    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], Tensor | None] | None = None
    ) -> Tensor | None:
        """Update the generations where `active`, (B,) bool, is true; None means all.

        Afterwards `last` contains what the rule reports, (B,) each, and `losses` is
        None.

        Returns:
            the value of the closure; None without one.

        Raises:
            RuntimeError: the rule needs losses or seeds that nobody has given.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for latents in group["params"]:
                if latents.grad is not None:
                    self._update(latents, latents.grad, group)
        self.losses = None
        return loss

    def _update(self, latents: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        if latents not in self.state:
            self.start(self.seeds)
        rule, state = self.rule(group), self.state[latents]
        self._check_losses(rule, latents.shape[1])
        fixed = ("update", "norms")
        update = Update(
            latents=latents.detach(),
            step=gradient,
            number=state["update"],
            lr=group["lr"],
            seeds=self.seeds,
            norms=state["norms"],
            memory={name: v for name, v in state.items() if name not in fixed},
            losses=self.losses,
        )
        for transform in rule:
            transform(update)
        moves = self._mask(latents)
        latents.copy_(torch.where(moves, update.latents, latents))
        for name, value in update.memory.items():
            state[name] = torch.where(moves, value, state[name])
        state["update"] += 1
        if "grad_norm" not in update.report:
            update.report["grad_norm"] = pairs.norms(gradient).mean(dim=0)
        self.last = update.report

    def _check_losses(self, rule: Sequence[Transform], count: int) -> None:
        needing = [type(part).__name__ for part in rule if part.needs_losses]
        found = None if self.losses is None else tuple(self.losses.shape)
        if needing and found != (count,):
            raise RuntimeError(
                f"Expected losses of shape ({count},) for {needing[0]}, received "
                f"{found}: set optimizer.losses before every step."
            )

    def _mask(self, latents: Tensor) -> Tensor:
        active = self.active
        if active is None:
            active = torch.ones(latents.shape[1], dtype=torch.bool)
        return active.to(latents.device)[None, :, None, None, None]


class LatentSGD(LatentOptimizer):
    """SGD with momentum and the projections of DOODL, applied in a fixed order.

    An update computes

    1. g = `lr` * gradient
    2. g <- the mean of g over the pair, if `tie_gradients`
    3. g <- g with every element clipped to [-`clip`, `clip`]
    4. m <- `momentum` * m + g
    5. z <- z - m + `noise_scale` * noise, with the same noise for both latents
    6. z <- the mean of z over the pair, if `average_pair`
    7. z <- z rescaled to the norms of the initial latents, if `renormalize`

    Without clip, noise and the three options it equals `torch.optim.SGD`. The rule is
    that of `paper_rule`, with settings that are stored in the parameter groups.

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
        settings: dict[str, Any] = {
            "momentum": momentum,
            "clip": clip,
            "noise_scale": noise_scale,
            "tie_gradients": tie_gradients,
            "average_pair": average_pair,
            "renormalize": renormalize,
        }
        super().__init__(params, paper_rule(**settings), lr)
        self.defaults |= settings
        for group in self.param_groups:
            for name, value in settings.items():
                group.setdefault(name, value)

    @override
    def rule(self, group: dict[str, Any]) -> list[Transform]:
        names = ("momentum", "clip", "noise_scale")
        switches = ("tie_gradients", "average_pair", "renormalize")
        # Schedulers and `load_state_dict` change the settings of a group.
        return paper_rule(**{name: group[name] for name in (*names, *switches)})

    @property
    @override
    def settings(self) -> dict[str, Any]:
        return self.defaults


def check_optimizer(
    make: Callable[[Iterable[Tensor]], Optimizer], *, editing: bool
) -> LatentOptimizer:
    """Return an optimiser of an empty pair, which shows early if settings are invalid.

    Args:
        make: makes the optimiser from its parameters.
        editing: whether the pair starts as two different latents.

    Raises:
        ValueError: the optimiser is not a `LatentOptimizer`, refuses its settings, or
            averages a pair of different latents.
    """
    trial = make([torch.zeros(2, 0, 1, 1, 1)])
    if not isinstance(trial, LatentOptimizer):
        raise ValueError(
            f"Expected the optimizer LatentSGD, LatentOptimizer or a subclass of them, "
            f"received {type(trial).__name__}, which knows no generations."
        )
    if editing and trial.merges_pair:
        raise ValueError(
            "Expected average_pair false with an edit, received true: the pair that "
            "makes a given picture is two different latents, and their mean makes "
            "another one; set model.optimizer.init_args.average_pair false, or leave "
            "Average out of the rule."
        )
    return trial
