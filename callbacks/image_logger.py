"""Writes scores and pictures for TensorBoard, one run a generation."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning import Trainer
from torch import Tensor
from typing_extensions import override

from doodl.callbacks.base import GenerationCallback
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.images import grid
from doodl.trajectory import Rendering, Trajectory

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class ImageLogger(GenerationCallback):
    """Makes every generation of every rank a run of its own; x is the update.

    Scalars: `score/guide`, `score/judge`, `loss`, and under `latents/` what shows
    drift off white noise: norm, lag-1 autocorrelation, kurtosis, whiteness, the pair's
    gap, and what the update reports: the gradient's norm, the fraction of it that is
    clipped, the step size where it adapts; under `cost/` the seconds of
    an update of the batch and the peak memory. The picture shows, from left to right,
    the original, the current and the best image. A run `totals-RANK` has means over all
    generations that the process has ended; there x counts these.

    Args:
        folder: of the results; the log goes into its `tensorboard`.
        every_n_updates: how often a picture is written.
        max_generations: how many of a process's generations are logged.
    """

    changes_images = False

    def __init__(
        self,
        folder: str = "results",
        every_n_updates: int = 5,
        max_generations: int = 64,
    ) -> None:
        if every_n_updates < 1:
            raise ValueError(
                f"Expected every_n_updates of at least 1, received {every_n_updates}."
            )
        self.folder = Path(folder) / "tensorboard"
        self.every_n_updates = every_n_updates
        self.max_generations = max_generations
        self.logged = 0
        self.folders: list[Path] = []
        self.writers: list[SummaryWriter] = []
        self.drawn: list[int | None] = []
        self.totals: SummaryWriter | None = None
        self.scores: list[tuple[float, float]] = []
        self.clock = 0.0
        self.num_updates = 0
        self.fitting = False

    @override
    def setup(self, trainer: Trainer, pl_module: GuidedGeneration, stage: str) -> None:
        self.trainer, self.fitting = trainer, stage == "fit"
        self.num_updates = pl_module.num_updates

    @override
    def on_generations_start(self, batch: Sequence[Generation]) -> None:
        if not self.fitting:
            return
        room = max(self.max_generations - self.logged, 0)
        self.folders = [self.folder / g.id for g in batch[:room]]
        self.logged += len(self.folders)
        self.writers = []
        self.drawn = [None] * len(self.folders)
        self.clock = time.monotonic()

    @override
    def on_rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        update = rendering.update
        if not self.writers:
            self.writers = [self._writer(f, update) for f in self.folders]
        columns = {"score/guide": rendering.guide.tolist()}
        if rendering.judge is not None:
            columns["score/judge"] = rendering.judge.tolist()
        if terms:
            columns |= self._measured(len(trajectory), terms)
        for i, writer in enumerate(self.writers):
            if trajectory.seen(i, rendering):
                for name, values in columns.items():
                    writer.add_scalar(name, values[i], update)
            if update % self.every_n_updates == 0 or update == self.num_updates:
                self._draw(trajectory, i)

    def _measured(
        self, count: int, terms: Mapping[str, Tensor]
    ) -> dict[str, list[float]]:
        """Return the columns that an update has and the final rendering has not."""
        now = time.monotonic()
        seconds, self.clock = now - self.clock, now
        last = self.trainer.optimizers[0].last  # type: ignore[attr-defined]
        device = self.trainer.strategy.root_device
        return {
            **{
                name if name.startswith("loss") else f"latents/{name}": values.tolist()
                for name, values in {**terms, **last}.items()
            },
            "cost/seconds": [seconds] * count,
            "cost/peak_mib": [peak_memory(device)] * count,
        }

    @override
    def on_generations_end(self, trajectory: Trajectory) -> None:
        for i in range(len(self.writers)):
            self._draw(trajectory, i)
        self._close()
        if self.fitting:
            self._total(self.trainer.global_rank, trajectory)

    def _total(self, rank: int, trajectory: Trajectory) -> None:
        """Write means over all generations so far that have a score."""
        if self.totals is None:
            self.totals = self._writer(self.folder / f"totals-{rank}", 0)
        for first, best in zip(trajectory.first, trajectory.best, strict=True):
            if first is not None and best is not None:
                self.scores.append((first.guide, best.guide))
        count = len(self.scores)
        for k, name in enumerate(("first", "best")):
            mean = sum(pair[k] for pair in self.scores) / max(count, 1)
            self.totals.add_scalar(f"total/guide_{name}", mean, count)

    @override
    def teardown(self, trainer: Trainer, pl_module: object, stage: str) -> None:
        self._close()
        if self.totals is not None:
            self.totals.close()
            self.totals = None

    def _close(self) -> None:
        for writer in self.writers:
            writer.close()
        self.writers = []

    def _writer(self, folder: Path, update: int) -> SummaryWriter:
        """Return a run's writer; what an earlier attempt wrote from here on goes."""
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.*") if update == 0 else []:
            old.unlink()
        return SummaryWriter(str(folder), purge_step=update)

    def _draw(self, trajectory: Trajectory, index: int) -> None:
        """Write original, current and best, unless there is nothing new to see."""
        first, best = trajectory.first[index], trajectory.best[index]
        last = trajectory.last[index]
        if first is None or best is None or last is None:
            return
        if self.drawn[index] != last.update:
            self.drawn[index] = last.update
            strip = grid(torch.stack((first.pixels, last.pixels, best.pixels)), 3)
            self.writers[index].add_image("original_current_best", strip, last.update)


def peak_memory(device: torch.device) -> float:
    """Return the most memory so far in MiB, of a GPU or else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes there, KiB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
