"""Logs scores and pictures, one run for each generation."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence

import torch
from lightning import Trainer
from torch import Tensor
from typing_extensions import override

from doodl.callbacks.base import GenerationCallback
from doodl.callbacks.runs import LoggerRuns, Runs, TensorBoardRuns
from doodl.files import named
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.images import grid
from doodl.trajectory import Rendering, Trajectory


class ImageLogger(GenerationCallback):
    """Logs each generation of each rank as a TensorBoard run, with the update as step.

    The scalars are `score/guide`, `score/judge` and `loss`; under `latents/` the norm,
    lag-1 autocorrelation, kurtosis and whiteness, which show drift from white noise,
    the pair's gap, and what the update reports (the norm of the gradient, the fraction
    of it that is clipped); under `cost/` the seconds of an update of the batch and the
    peak memory. The logged image shows, from left to right, the original, the current
    and the best picture. A further run
    `totals-RANK` has the mean scores of all generations that the process has ended; its
    step is their number.

    The Trainer's loggers, if there are any, receive the same values and pictures, with
    the name of the run before that of the value (see `LoggerRuns`).

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
        self.folder = named(folder, "the results folder") / "tensorboard"
        self.every_n_updates = every_n_updates
        self.max_generations = max_generations
        self.logged = 0
        self.logs: list[Runs] = []
        self.runs: list[str] = []
        self.begun = False
        self.drawn: list[int | None] = []
        self.scores: list[tuple[float, float]] = []
        self.clock = 0.0
        self.num_updates = 0
        self.fitting = False
        self.totals, self.totalled = "totals-0", False

    @override
    def setup(self, trainer: Trainer, pl_module: GuidedGeneration, stage: str) -> None:
        self.trainer, self.fitting = trainer, stage == "fit"
        self.num_updates = pl_module.num_updates
        rank, loggers = trainer.global_rank, trainer.loggers if self.fitting else []
        self.logs = [TensorBoardRuns(self.folder)]
        self.logs += [LoggerRuns(logger, rank) for logger in loggers]
        self.totals, self.totalled = f"totals-{rank}", False

    @override
    def on_generations_start(self, batch: Sequence[Generation]) -> None:
        if not self.fitting:
            return
        room = max(self.max_generations - self.logged, 0)
        self.runs, self.begun = [g.id for g in batch[:room]], False
        self.logged += len(self.runs)
        self.drawn = [None] * len(self.runs)
        self.clock = time.monotonic()

    @override
    def on_rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        update = rendering.update
        if not self.begun:
            self.begun = True
            self._begin(self.runs, update)
        columns = {"score/guide": rendering.guide.tolist()}
        if rendering.judge is not None:
            columns["score/judge"] = rendering.judge.tolist()
        if terms:
            columns |= self._measured(len(trajectory), terms)
        seen = [i for i in range(len(self.runs)) if trajectory.seen(i, rendering)]
        values = {
            self.runs[i]: {name: column[i] for name, column in columns.items()}
            for i in seen
        }
        for log in self.logs:
            log.scalars(values, update)
        if update % self.every_n_updates == 0 or update == self.num_updates:
            for i in range(len(self.runs)):
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
        if not self.fitting:
            return
        if self.begun:
            for i in range(len(self.runs)):
                self._draw(trajectory, i)
        self._total(trajectory)
        self._end()

    def _total(self, trajectory: Trajectory) -> None:
        """Log the mean scores of all generations so far that have a score."""
        if not self.totalled:
            self.totalled = True
            self._begin([self.totals], 0)
        for first, best in zip(trajectory.first, trajectory.best, strict=True):
            if first is not None and best is not None:
                self.scores.append((first.guide, best.guide))
        count = len(self.scores)
        means = {
            f"total/guide_{name}": sum(pair[k] for pair in self.scores) / max(count, 1)
            for k, name in enumerate(("first", "best"))
        }
        for log in self.logs:
            log.scalars({self.totals: means}, count)

    @override
    def teardown(self, trainer: Trainer, pl_module: object, stage: str) -> None:
        self._end()
        if self.totalled:
            self.totalled = False
            for log in self.logs:
                log.end([self.totals])

    def _begin(self, runs: Sequence[str], update: int) -> None:
        for log in self.logs:
            log.begin(runs, update)

    def _end(self) -> None:
        """End the runs of the batch."""
        if self.begun:
            self.begun = False
            for log in self.logs:
                log.end(self.runs)

    def _draw(self, trajectory: Trajectory, index: int) -> None:
        """Log original, current and best picture, unless this update is logged."""
        first, best = trajectory.first[index], trajectory.best[index]
        last = trajectory.last[index]
        if first is None or best is None or last is None:
            return
        if self.drawn[index] != last.update:
            self.drawn[index] = last.update
            strip = grid(torch.stack((first.pixels, last.pixels, best.pixels)), 3)
            for log in self.logs:
                log.image(self.runs[index], "original_current_best", strip, last.update)


def peak_memory(device: torch.device) -> float:
    """Return the peak memory in MiB: of the GPU's tensors, or else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # macOS reports bytes, Linux KiB.
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
