"""Writes scores and pictures for TensorBoard, one run for each generation."""

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
    """Logs each generation of each rank as a TensorBoard run, with the update as step.

    The scalars are `score/guide`, `score/judge` and `loss`; under `latents/` the norm,
    lag-1 autocorrelation, kurtosis and whiteness, which show drift from white noise,
    the pair's gap, and what the update reports (the norm of the gradient, the fraction
    of it that is clipped, an adaptive step size); under `cost/`
    the seconds of an update of the batch and the peak memory. The logged image shows,
    from left to right, the original, the current and the best picture. A further run
    `totals-RANK` has the mean scores of all generations that the process has ended; its
    step is their number.

    Args:
        folder: results folder; the log is written into its subfolder `tensorboard`.
        every_n_updates: number of updates between two logged pictures.
        max_generations: largest number of generations that each process logs.
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
        """Return the scalars of an update; the final rendering has none of them."""
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
        """Log the mean scores of all generations so far that have a score."""
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
        """Return a run's writer, which purges an earlier attempt from `update` on."""
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.*") if update == 0 else []:
            old.unlink()
        return SummaryWriter(str(folder), purge_step=update)

    def _draw(self, trajectory: Trajectory, index: int) -> None:
        """Log original, current and best picture, unless this update is logged."""
        first, best = trajectory.first[index], trajectory.best[index]
        last = trajectory.last[index]
        if first is None or best is None or last is None:
            return
        if self.drawn[index] != last.update:
            self.drawn[index] = last.update
            strip = grid(torch.stack((first.pixels, last.pixels, best.pixels)), 3)
            self.writers[index].add_image("original_current_best", strip, last.update)


def peak_memory(device: torch.device) -> float:
    """Return the peak memory in MiB: of the GPU's tensors, or else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # macOS reports bytes, Linux KiB.
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
