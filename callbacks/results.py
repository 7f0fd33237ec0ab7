"""Writes every finished generation to its own folder, and a manifest of all."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from safetensors.torch import save
from typing_extensions import override

from doodl import __version__, images
from doodl.data import Generation
from doodl.generation import GuidedGeneration
from doodl.trajectory import Snapshot, Trajectory

COLUMNS = (
    "id",
    "prompt",
    "seed",
    "status",
    "updates",
    "guide_first",
    "guide_best",
    "judge_first",
    "judge_best",
    "verdict_first",
    "verdict_best",
    "selector",
    "folder",
    "reason",
)


class Results(Callback):
    """Saves what was made: pictures, latents, scores, and `manifest.csv`.

    A generation's folder holds `original.png`, `best.png` and `final.png`, the initial
    pairs that make the last two in `latents.safetensors`, every update's scores in
    `metrics.jsonl` and its row of the manifest in `summary.json`. Files are written
    under another name and moved into place, so that none is ever half there. Seconds
    go to `timings.csv`, since they differ from run to run.

    Args:
        folder: where the results go; made if it is missing.
    """

    def __init__(self, folder: str = "results") -> None:
        self.folder = Path(folder)
        for path in (self.folder, *self.folder.parents):
            if path.exists() and not path.is_dir():
                raise ValueError(
                    f"The results folder '{folder}' cannot be made, since '{path}' "
                    "is a file; choose another with --results.folder."
                )
        self.metrics: list[list[dict[str, Any]]] = []
        self.rows: list[dict[str, Any]] = []
        self.started = 0.0

    @override
    def setup(self, trainer: Trainer, pl_module: GuidedGeneration, stage: str) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.folder / ".writable", b"")
            # Another rank may have been here.
            (self.folder / ".writable").unlink(missing_ok=True)
        except OSError as error:
            raise ValueError(
                f"Cannot write to the results folder '{self.folder}': {error.strerror}."
            ) from error
        self.rows = []

    @override
    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: GuidedGeneration
    ) -> None:
        self.started = time.monotonic()
        self.metrics = [[] for _ in pl_module.batches[trainer.current_epoch]]

    @override
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: GuidedGeneration,
        outputs: object,
        batch: int,
        batch_idx: int,
    ) -> None:
        self._collect(pl_module, pl_module.diagnostics)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        if pl_module.rendering.update == pl_module.num_updates:
            self._collect(pl_module, {})
        self._finish(pl_module.trajectory, "finished")

    @override
    def on_predict_batch_start(
        self,
        trainer: Trainer,
        pl_module: GuidedGeneration,
        batch: list[Generation],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.started = time.monotonic()
        self.metrics = [[] for _ in batch]

    @override
    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: GuidedGeneration,
        outputs: Trajectory,
        batch: list[Generation],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._finish(outputs, "sampled")

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        self._report()

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        self._report()

    def _collect(self, pl_module: GuidedGeneration, extra: Mapping[str, Any]) -> None:
        """Keep the scores of the current rendering for `metrics.jsonl`.

        A generation that has ended has no more of them.
        """
        rendering = pl_module.rendering
        columns = {"guide": rendering.guide, **extra}
        if rendering.judge is not None:
            columns["judge"] = rendering.judge
        lists = {name: values.tolist() for name, values in columns.items()}
        for i, lines in enumerate(self.metrics):
            if pl_module.trajectory.seen(i, rendering):
                values = {name: _number(values[i]) for name, values in lists.items()}
                lines.append({"update": rendering.update, **values})

    def _finish(self, trajectory: Trajectory, status: str) -> None:
        seconds = (time.monotonic() - self.started) / len(trajectory)
        for i, generation in enumerate(trajectory.generations):
            row = summary(trajectory, i, status)
            self.rows.append(row)
            folder = self.folder / generation.id
            folder.mkdir(exist_ok=True)
            self._save_pictures(trajectory, i, folder)
            lines = "".join(json.dumps(line) + "\n" for line in self.metrics[i])
            write(folder / "metrics.jsonl", lines.encode())
            write(folder / "timing.json", json.dumps({"seconds": seconds}).encode())
            # Last, for it says that the folder is complete.
            write(folder / "summary.json", json.dumps(row, indent=2).encode())
        self._write_tables()

    def _save_pictures(self, trajectory: Trajectory, index: int, folder: Path) -> None:
        generation = trajectory.generations[index]
        shots: dict[str, Snapshot | None] = {
            "original": trajectory.first[index],
            "best": trajectory.best[index],
            "final": trajectory.last[index],
        }
        metadata = {
            "prompt": generation.prompt,
            "seed": str(generation.seed),
            "software": f"doodl {__version__}",
        }
        for name, shot in shots.items():
            if shot is not None:
                images.save(
                    shot.pixels,
                    folder / f"{name}.png",
                    {**metadata, "update": str(shot.update)},
                )
        latents = {
            name: shot.latents.clone()  # one snapshot may be both best and final
            for name, shot in shots.items()
            if shot is not None and name != "original"
        }
        if latents:
            write(folder / "latents.safetensors", save(latents))

    def _write_tables(self) -> None:
        """Build both tables from the folders, so that any rank writes the same."""
        rows, timings = [], []
        for path in sorted(self.folder.glob("*/summary.json")):
            rows.append(json.loads(path.read_text()))
            timing = json.loads((path.parent / "timing.json").read_text())
            timings.append({"id": rows[-1]["id"], **timing})
        write(self.folder / "manifest.csv", _table(rows, COLUMNS))
        write(self.folder / "timings.csv", _table(timings, ("id", "seconds")))

    def _report(self) -> None:
        """Print the rows of this run and where the files are."""
        console = Console()
        if self.rows:
            console.print(report(self.rows))
        # As plain text: brackets in a path are no markup, and a path has one line.
        console.out(f"Pictures and manifest.csv: {self.folder}", highlight=False)
        log = self.folder / "tensorboard"
        if log.is_dir():
            console.out(f"Curves: tensorboard --logdir {log}", highlight=False)


def summary(trajectory: Trajectory, index: int, status: str) -> dict[str, Any]:
    """Return a generation's row of the manifest."""
    generation = trajectory.generations[index]
    first, best = trajectory.first[index], trajectory.best[index]
    last = trajectory.last[index]
    failure, reason = trajectory.failures[index], trajectory.reasons[index]
    return {
        "id": generation.id,
        "prompt": generation.prompt,
        "seed": generation.seed,
        "status": "failed" if failure else "stopped" if reason else status,
        "updates": last.update if last else 0,
        "guide_first": first.guide if first else None,
        "guide_best": best.guide if best else None,
        "judge_first": first.judge if first else None,
        "judge_best": best.judge if best else None,
        "verdict_first": first.verdict if first else None,
        "verdict_best": best.verdict if best else None,
        "selector": trajectory.selector,
        "folder": generation.id,
        "reason": failure or reason,
    }


def report(rows: list[dict[str, Any]]) -> Table:
    """Return a table of first and best scores, one row a generation."""
    table = Table(box=None, header_style="bold")
    for name in ("prompt", "seed", "guide", "judge", "verdict"):
        table.add_column(name, justify="left" if name == "prompt" else "right")
    for row in rows:
        table.add_row(
            escape(row["prompt"]),
            str(row["seed"]),
            _change(row["guide_first"], row["guide_best"]),
            _change(row["judge_first"], row["judge_best"]),
            row["reason"]
            if row["status"] == "failed"
            else _change(row["verdict_first"], row["verdict_best"]),
        )
    return table


def write(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _number(value: float) -> float | None:
    """Return a number that JSON knows; it has no NaN."""
    return value if math.isfinite(value) else None


def _change(first: float | bool | None, best: float | bool | None) -> str:
    return f"{_cell(first)} → {_cell(best)}"


def _cell(value: float | bool | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "right" if value else "wrong"
    return f"{value:.3f}"


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
