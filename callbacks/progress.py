"""The progress bar: generations of the batch, number of the update, mean scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning import Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor
from typing_extensions import override

from doodl.callbacks.base import GenerationCallback
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.generations import Generations
from doodl.trajectory import Rendering, Trajectory


class Progress(GenerationCallback, TQDMProgressBar):
    """Shows "generations 5-8 of 64", the number of updates and the mean scores.

    Args:
        refresh_rate: number of updates between two refreshes.
        process_position: offset of the bar in lines.
    """

    changes_images = False

    def __init__(self, refresh_rate: int = 1, process_position: int = 0) -> None:
        super().__init__(refresh_rate, process_position)
        self.fitting = False
        self.generations: Generations | None = None
        self.scores: dict[str, str] = {}

    @override
    def setup(self, trainer: Trainer, pl_module: GuidedGeneration, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        data: PromptsAndSeeds = trainer.datamodule  # type: ignore[attr-defined]
        self.generations = data.generations
        self.fitting, self.scores = stage == "fit", {}

    @override
    def on_generations_start(self, batch: Sequence[Generation]) -> None:
        self.scores = {}
        if self.fitting:
            assert self.generations is not None, "setup runs before any batch"
            first, last = (self.generations.position(batch[i]) + 1 for i in (0, -1))
            self.train_progress_bar.set_description(
                f"generations {first}-{last} of {len(self.generations)}"
            )

    @override
    def on_rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        shown = {"guide": rendering.guide, "judge": rendering.judge}
        self.scores = {
            name: f"{values.mean().item():.3f}"
            for name, values in shown.items()
            if values is not None
        }
        if self.is_enabled:
            self.train_progress_bar.set_postfix(self.scores)

    @override
    def get_metrics(
        self, trainer: Trainer, pl_module: GuidedGeneration
    ) -> dict[str, int | str | float | dict[str, float]]:
        return {**self.scores}
