"""The progress line: which generations, which update, how good."""

from __future__ import annotations

from lightning import Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from typing_extensions import override

from doodl.guided_generation import GuidedGeneration
from doodl.jobs.data import PromptsAndSeeds


class Progress(TQDMProgressBar):
    """Reads "generations 5-8 of 64" and counts updates, with the mean guide score."""

    @override
    def on_train_epoch_start(self, trainer: Trainer, *args: GuidedGeneration) -> None:
        super().on_train_epoch_start(trainer, *args)
        batch = args[0].batches[trainer.current_epoch]
        data: PromptsAndSeeds = trainer.datamodule  # type: ignore[attr-defined]
        first, last = (data.generations.index(batch[i]) + 1 for i in (0, -1))
        self.train_progress_bar.set_description(
            f"generations {first}-{last} of {len(data.generations)}"
        )

    @override
    def get_metrics(
        self, trainer: Trainer, pl_module: GuidedGeneration
    ) -> dict[str, int | str | float | dict[str, float]]:
        rendering = pl_module.rendering
        if rendering is None:  # nothing has been made yet
            return {}
        shown: dict[str, int | str | float | dict[str, float]] = {}
        shown["guide"] = f"{rendering.guide.mean().item():.3f}"
        if rendering.judge is not None:
            shown["judge"] = f"{rendering.judge.mean().item():.3f}"
        return shown
