"""A step size that adapts to each generation."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from doodl.rules.base import Transform, Update, per_generation


class Backtrack(Transform):
    """Returns to the best latents, with half the step, where the loss stops falling.

    A generation whose loss has not gone below its least one for `patience` updates in
    a row goes back to the latents of the least loss and to their gradient, forgets
    its momentum, and takes steps that are `shrink` times as long from then on. Reports
    the factor of the step so far as `step_size`.

    It needs the losses of the latents that the gradient belongs to, of the full image
    rather than of random crops: `optimizer.losses`, (B,), before every step.

    Args:
        patience: updates without a lower loss, at least 1.
        shrink: factor of the step in (0, 1).

    Raises:
        ValueError: a value out of range.
    """

    needs_losses = True

    def __init__(self, patience: int = 3, shrink: float = 0.5) -> None:
        if patience < 1:
            raise ValueError(f"Expected a patience of at least 1, received {patience}.")
        if not 0 < shrink < 1:
            raise ValueError(f"Expected a shrink in (0, 1), received {shrink}.")
        self.patience, self.shrink = patience, shrink

    @override
    def start(self, latents: Tensor) -> dict[str, Tensor]:
        return {
            "best_loss": per_generation(latents, math.inf),
            "best_latents": latents.detach().clone(),
            "best_gradient": torch.zeros_like(latents),
            "failures": per_generation(latents),
            "step_size": per_generation(latents, 1.0),
        }

    @override
    def __call__(self, update: Update) -> None:
        memory = update.memory
        assert update.losses is not None, "the optimiser has refused this before"
        loss = update.losses.to(memory["best_loss"]).view_as(memory["best_loss"])
        better = loss < memory["best_loss"]
        for name, value in (
            ("best_loss", loss),
            ("best_latents", update.latents),
            ("best_gradient", update.step),
        ):
            memory[name] = torch.where(better, value, memory[name])
        failures = torch.where(better, 0, memory["failures"] + 1)
        back = failures >= self.patience
        size = torch.where(back, self.shrink * memory["step_size"], memory["step_size"])
        memory |= {"failures": failures.where(~back, 0), "step_size": size}
        update.latents = torch.where(back, memory["best_latents"], update.latents)
        update.step = torch.where(back, memory["best_gradient"], update.step)
        update.size, update.restarted = size, back
        update.report["step_size"] = size.flatten()
