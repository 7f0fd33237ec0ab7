"""The optimiser that runs a rule on the latent pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from doodl import latents as pairs
from doodl.rules.base import Transform, Update, check_rule
from doodl.rules.gradient import Scale


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
        last: what the last update reports, (B,) each. `grad_norm` is the norm of the
            loss's gradient before any transform, the mean over the pair.

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

        To resume an interrupted batch bit for bit, start it again and call `resume`.

        Args:
            seeds: one seed for each generation, for the noise of the updates.
        """
        self.seeds = list(seeds)
        self.active = None
        self.last = {}
        self.state.clear()
        for group in self.param_groups:
            for latents in group["params"]:
                state = {"update": 0, "norms": pairs.norms(latents.detach())}
                for transform in self.rule(group):
                    state |= transform.start(latents.detach())
                self.state[latents] = state

    def saved(self) -> dict[Any, dict[str, Any]]:
        """Return a copy of the rule's memory, which `resume` takes."""
        memory = self.state_dict()["state"]
        return {latents: dict(values) for latents, values in memory.items()}

    def resume(self, saved: dict[Any, dict[str, Any]]) -> None:
        """Replace the rule's memory by a value of `saved`."""
        self.load_state_dict({**self.state_dict(), "state": saved})

    @override
    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], Tensor | None] | None = None
    ) -> Tensor | None:
        """Update the generations where `active`, (B,) bool, is true; None means all.

        Afterwards `last` contains what the rule reports, (B,) each.

        Returns:
            the value of the closure; None without one.

        Raises:
            RuntimeError: the rule needs seeds that nobody has given.
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
        rule, state = self.rule(group), self.state[latents]
        fixed = ("update", "norms")
        update = Update(
            latents=latents.detach(),
            step=gradient,
            number=state["update"],
            lr=group["lr"],
            seeds=self.seeds,
            norms=state["norms"],
            memory={name: v for name, v in state.items() if name not in fixed},
            report={"grad_norm": pairs.norms(gradient).mean(dim=0)},
        )
        for transform in rule:
            transform(update)
        moves = self._mask(latents)
        latents.copy_(torch.where(moves, update.latents, latents))
        for name, value in update.memory.items():
            state[name] = torch.where(moves, value, state[name])
        state["update"] += 1
        self.last = update.report

    def _mask(self, latents: Tensor) -> Tensor:
        active = self.active
        if active is None:
            active = torch.ones(latents.shape[1], dtype=torch.bool)
        return active.to(latents.device)[None, :, None, None, None]
