"""Ends the optimisation of single generations early."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from lightning import Trainer
from typing_extensions import override

from doodl.callbacks.base import GenerationCallback
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.trajectory import Rendering, Trajectory


class EarlyStopping(GenerationCallback):
    """Stops a generation once its score reaches a target or no longer improves.

    The other generations of the batch continue, and the batch ends when all of them
    have ended. With the default arguments no generation stops early.

    Args:
        monitor: the score of the full image that is monitored: `guide` or `judge`.
        target: score at which a generation stops; None for no target.
        patience: number of updates without improvement after which a generation stops;
            None for no limit.
        min_delta: an improvement is a score above the best one plus `min_delta`.
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
        if min_delta and patience is None:
            raise ValueError(
                f"Expected a patience with the min_delta {min_delta}, received none, "
                "so that min_delta means nothing; set early_stopping.patience."
            )
        self.monitor = monitor
        self.target = target
        self.patience = patience
        self.min_delta = min_delta
        self.scores: list[list[float]] = []

    @override
    def check(self, trainer: Trainer, module: GuidedGeneration) -> None:
        if self.monitor == "judge" and module.settings.judge is None:
            raise ValueError(
                "Expected a judge for early_stopping.monitor judge, received none; set "
                "model.judge."
            )

    @override
    def on_generations_start(self, batch: Sequence[Generation]) -> None:
        self.scores = []

    @override
    def stops(self, trajectory: Trajectory, rendering: Rendering) -> dict[int, str]:
        if self.target is None and self.patience is None:
            return {}
        self.scores.append(getattr(rendering, self.monitor).tolist())
        reasons = {
            i: self.reason(scores)
            for i, scores in enumerate(zip(*self.scores, strict=True))
        }
        return {i: reason for i, reason in reasons.items() if reason}

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"scores": list(self.scores)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scores = list(state_dict["scores"])

    def reason(self, scores: Sequence[float]) -> str | None:
        """Return the reason to end a generation with these scores, or None.

        Args:
            scores: the generation's score at each update so far, in order.
        """
        if self.target is not None and scores[-1] >= self.target:
            return f"{self.monitor} reached {self.target:g}"
        best, since = -math.inf, 0
        for score in scores:
            since = 0 if score > best + self.min_delta else since + 1
            best = max(best, score)
        if self.patience is not None and since >= self.patience:
            return f"{self.monitor} did not improve in {self.patience} updates"
        return None
