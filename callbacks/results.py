"""Writes each finished generation to its own folder, and a manifest of all of them."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException
from rich.console import Console
from torch import Tensor
from typing_extensions import override

from doodl.callbacks.base import GenerationCallback
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.jobs.archive import Archive
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.identity import identity
from doodl.jobs.records import picture_files, summary
from doodl.jobs.report import print_report
from doodl.jobs.tables import TIMING
from doodl.trajectory import Rendering, Trajectory


class Results(GenerationCallback):
    """Saves pictures, latents and scores of each generation, and `manifest.csv`.

    The folder of a generation contains `original.png`, `best.png` and `final.png`, the
    initial latents of the last two in `latents.safetensors`, the scores of every update
    in `metrics.jsonl`, and the generation's row of the manifest in `summary.json`.
    Durations differ from run to run and are therefore kept apart, in `timings.csv`.

    When the same run is started again, it skips finished generations and resumes begun
    batches from the last saved update. An interrupted run saves its state at once.

    Args:
        folder: results folder; it is created if it does not exist.
        save_every_n_updates: number of updates between two saves of a batch's state.
        report: whether the process that finishes the job writes the page of
            `doodl report` into the folder.
    """

    changes_images = False

    def __init__(
        self,
        folder: str = "results",
        save_every_n_updates: int = 5,
        report: bool = False,
    ) -> None:
        if save_every_n_updates < 1:
            raise ValueError(
                "Expected save_every_n_updates of at least 1, received "
                f"{save_every_n_updates}."
            )
        self.archive = Archive(folder)
        self.save_every_n_updates = save_every_n_updates
        self.writes_page = report
        self.settings: dict[str, Any] = {}
        self.status = "finished"
        self.batch: list[Generation] = []
        self.unsaved: Mapping[str, Any] | None = None
        self.metrics: list[list[dict[str, Any]]] = []
        self.generations: Sequence[Generation] = []
        self.started = 0.0

    @property
    def folder(self) -> Path:
        """The results folder."""
        return self.archive.folder

    def rows(self) -> list[dict[str, Any]]:
        """Return the manifest's rows of this job's generations."""
        rows = map(self.archive.row, self.generations)
        return [row for row in rows if row is not None]

    # Before the work ----------------------------------------------------------------

    @override
    def check(self, trainer: Trainer, module: GuidedGeneration) -> None:
        command = "predict" if trainer.predicting else "fit"
        self.settings = identity(module, trainer, command)
        self.archive.check(self.settings)
        self.generations = []  # of an earlier job in this process

    @override
    def remaining(self, batch: Sequence[Generation]) -> list[Generation]:
        return self.archive.remaining(batch)

    @override
    def saved_state(self, batch: Sequence[Generation]) -> dict[str, Any] | None:
        return self.archive.load_state(batch)

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        self._open(trainer, "finished")

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        self._open(trainer, "sampled")

    def _open(self, trainer: Trainer, status: str) -> None:
        data: PromptsAndSeeds = trainer.datamodule  # type: ignore[attr-defined]
        self.archive.open(self.settings)
        self.generations, self.status, self.unsaved = data.generations, status, None

    # One batch of generations -------------------------------------------------------

    @override
    def on_generations_start(self, batch: Sequence[Generation]) -> None:
        self.started, self.batch, self.unsaved = time.monotonic(), list(batch), None
        self.metrics = [[] for _ in batch]

    @override
    def on_rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        """Keep the scores for `metrics.jsonl`, except those of ended generations."""
        columns = {"guide": rendering.guide, **terms}
        if rendering.judge is not None:
            columns["judge"] = rendering.judge
        lists = {name: values.tolist() for name, values in columns.items()}
        counts = dict(zip(("calls", "gradient_calls"), rendering.calls, strict=True))
        for i, lines in enumerate(self.metrics):
            if trajectory.seen(i, rendering):
                values = {name: _number(values[i]) for name, values in lists.items()}
                lines.append({"update": rendering.update, **values, **counts})

    @override
    def on_state(self, state: Mapping[str, Any]) -> None:
        self.unsaved = state
        if state["update"] % self.save_every_n_updates == 0:
            self._save_state()

    def _save_state(self) -> None:
        """Save the state of an unfinished batch, unless it is already saved."""
        if self.unsaved is not None:
            self.archive.save_state(self.batch, self.unsaved)
            self.unsaved = None

    @override
    def on_generations_end(self, trajectory: Trajectory) -> None:
        self.unsaved = None
        seconds = (time.monotonic() - self.started) / len(trajectory)
        digest = self.archive.digest()
        for i, generation in enumerate(trajectory.generations):
            lines = "".join(json.dumps(line) + "\n" for line in self.metrics[i])
            files = {
                **picture_files(trajectory, i, self.settings, digest),
                "metrics.jsonl": lines.encode(),
                TIMING: json.dumps({"seconds": seconds}).encode(),
            }
            row = summary(trajectory, i, self.status)
            self.archive.save(generation, files, row)
        self.archive.drop_state(trajectory.generations)
        self.archive.tables.refresh()

    # After the work -----------------------------------------------------------------

    @override
    def on_predict_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.received_sigterm:  # Lightning's prediction loop ignores it
            raise SIGTERMException

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        self._save_state()  # `max_time` may have ended the fit within a batch
        if trainer.world_size == 1:  # several processes end at different times
            self.report()

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        if trainer.world_size == 1:
            self.report()

    @override
    def teardown(
        self, trainer: Trainer, pl_module: GuidedGeneration, stage: str
    ) -> None:
        self.archive.tables.write()
        self.archive.close()
        finished = 0 < len(self.rows()) == len(self.generations)
        if finished:
            self.archive.drop_outdated_states()
        if self.writes_page and finished:
            self._write_page()

    def _write_page(self) -> None:
        """Write the page of `doodl report`; the results stand also without it."""
        from doodl.evaluation.command import report

        try:
            report([str(self.folder)])
        except (ValueError, OSError) as error:
            rank_zero_warn(f"The report could not be written: {error}")

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: GuidedGeneration, exception: BaseException
    ) -> None:
        with contextlib.suppress(OSError):  # the exception may be a full disk
            self._save_state()
            if self.generations:  # the folder passed the check of its settings
                self.archive.tables.write()
        self.archive.close()
        if isinstance(exception, KeyboardInterrupt | SIGTERMException):
            Console().print(
                "Stopped and saved: the same command goes on from here."
                if self.generations
                else "Stopped before the job began; nothing was saved."
            )

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"metrics": [list(lines) for lines in self.metrics]}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.metrics = [list(lines) for lines in state_dict["metrics"]]

    def report(self) -> None:
        """Print the scores of this job and the paths of its files."""
        print_report(self.rows(), len(self.generations), self.folder)


def _number(value: float) -> float | None:
    """Return the value, or None if JSON cannot represent it (NaN, infinity)."""
    return value if math.isfinite(value) else None
