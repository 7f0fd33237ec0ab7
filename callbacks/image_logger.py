"""Writes scores and pictures for TensorBoard, one run a generation."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from doodl.guided_generation import GuidedGeneration
from doodl.images import grid
from doodl.trajectory import Trajectory

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class ImageLogger(Callback):
    """Makes every generation of every rank a run of its own; x is the update.

    Scalars: `score/guide`, `score/judge`, `loss`, and under `latents/` what shows
    drift off white noise: norm, lag-1 autocorrelation, kurtosis, the pair's gap, the
    gradient's norm and the fraction of it that is clipped; under `cost/` the seconds of
    an update of the batch and the peak memory. The picture shows, from left to right,
    the original, the current and the best image. A run `totals-RANK` has means over all
    generations that the process has ended; there x counts these.

    Args:
        folder: of the results; the log goes into its `tensorboard`.
        every_n_updates: how often a picture is written.
        max_generations: how many of a process's generations are logged.
    """

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

    @override
    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: GuidedGeneration
    ) -> None:
        # The module begins the batch after its callbacks, so ask the plan.
        batch = pl_module.batches[trainer.current_epoch]
        room = max(self.max_generations - self.logged, 0)
        self.folders = [self.folder / g.id for g in batch[:room]]
        self.logged += len(self.folders)
        self.writers = []
        self.drawn = [None] * len(self.folders)
        self.clock = time.monotonic()

    @override
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: GuidedGeneration,
        outputs: object,
        batch: int,
        batch_idx: int,
    ) -> None:
        if pl_module.rendering is None:
            return
        if not self.writers:
            self.writers = [self._writer(f, batch) for f in self.folders]
        now = time.monotonic()
        seconds, self.clock = now - self.clock, now
        last = trainer.optimizers[0].last  # type: ignore[attr-defined]
        columns = _columns(pl_module) | {
            name if name.startswith("loss") else f"latents/{name}": values.tolist()
            for name, values in (pl_module.diagnostics | last).items()
        }
        size = len(pl_module.trajectory)
        columns["cost/seconds"] = [seconds] * size
        columns["cost/peak_mib"] = [peak_memory(pl_module.device)] * size
        self._write(pl_module, columns, picture=batch % self.every_n_updates == 0)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        # A batch that ended early has no rendering after its last update.
        if pl_module.rendering is not None:
            result = pl_module.rendering.update == pl_module.num_updates
            self._write(pl_module, _columns(pl_module) if result else {}, picture=True)
        for writer in self.writers:
            writer.close()
        self.writers = []
        self._total(trainer.global_rank, pl_module.trajectory)

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
    def on_fit_end(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        if self.totals is not None:
            self.totals.close()
            self.totals = None

    def _writer(self, folder: Path, update: int) -> SummaryWriter:
        """Return a run's writer; what an earlier attempt wrote from here on goes."""
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.*") if update == 0 else []:
            old.unlink()
        return SummaryWriter(str(folder), purge_step=update)

    def _write(
        self, pl_module: GuidedGeneration, columns: dict[str, list], *, picture: bool
    ) -> None:
        rendering = pl_module.rendering
        assert rendering is not None
        for i, writer in enumerate(self.writers):
            if pl_module.trajectory.seen(i, rendering):
                for name, values in columns.items():
                    writer.add_scalar(name, values[i], rendering.update)
            if picture:
                self._draw(pl_module.trajectory, i)

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


def _columns(pl_module: GuidedGeneration) -> dict[str, list]:
    rendering = pl_module.rendering
    assert rendering is not None
    columns = {"score/guide": rendering.guide.tolist()}
    if rendering.judge is not None:
        columns["score/judge"] = rendering.judge.tolist()
    return columns
