"""Ends the optimisation of single generations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer
from typing_extensions import override

from doodl.guided_generation import GuidedGeneration


class EarlyStopping(Callback):
    """Freezes a generation once its score is good enough or no longer improves.

    The others of its batch go on; the batch ends when all have ended. With the
    defaults nothing stops early.

    Args:
        monitor: the score on the full image: `guide` or `judge`.
        target: stop at this score.
        patience: stop after this many updates without improvement.
        min_delta: the least that counts as an improvement.
    """

    def __init__(
        self,
        monitor: Literal["guide", "judge"] = "guide",
        target: float | None = None,
        patience: int | None = None,
        min_delta: float = 0.0,
    ) -> None:
        if monitor not in ("guide", "judge"):
            raise ValueError(
                f"Expected the monitor guide or judge, received '{monitor}'."
            )
        if target is not None and not math.isfinite(target):
            raise ValueError(f"Expected a finite target, received {target}.")
        if patience is not None and patience < 1:
            raise ValueError(f"Expected a patience of at least 1, received {patience}.")
        if not min_delta >= 0:
            raise ValueError(
                f"Expected a min_delta of 0 or more, received {min_delta}."
            )
        self.monitor = monitor
        self.target = target
        self.patience = patience
        self.min_delta = min_delta
        self.scores: list[list[float]] = []

    @override
    def setup(self, trainer: Trainer, pl_module: GuidedGeneration, stage: str) -> None:
        self.check(pl_module)

    def check(self, module: GuidedGeneration) -> None:
        """Refuse a module that has not what is monitored.

        Raises:
            ValueError: there is no judge.
        """
        if self.monitor == "judge" and module.parts.judge is None:
            raise ValueError(
                "Expected a judge for early_stopping.monitor judge, received none; set "
                "model.judge."
            )

    @override
    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: GuidedGeneration
    ) -> None:
        self.scores = []

    @override
    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: GuidedGeneration, optimizer: Optimizer
    ) -> None:
        rendering = pl_module.rendering
        if rendering is None or (self.target is None and self.patience is None):
            return
        self.scores.append(getattr(rendering, self.monitor).tolist())
        for i, scores in enumerate(zip(*self.scores, strict=True)):
            reason = self.reason(scores)
            if reason and not pl_module.trajectory.ended(i):
                pl_module.stop(i, reason)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"scores": list(self.scores)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scores = list(state_dict["scores"])

    def reason(self, scores: Sequence[float]) -> str | None:
        """Return why a generation with these scores, in order, should end, if so."""
        if self.target is not None and scores[-1] >= self.target:
            return f"{self.monitor} reached {self.target:g}"
        best, since = -math.inf, 0
        for score in scores:
            since = 0 if score > best + self.min_delta else since + 1
            best = max(best, score)
        if self.patience is not None and since >= self.patience:
            return f"{self.monitor} did not improve in {self.patience} updates"
        return None
