"""Where logs are written: TensorBoard folders, and the Trainer's loggers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
)
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from doodl.images import to_pil

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Scalars = Mapping[str, Mapping[str, float]]
"""The values of each run by name: `{run: {name: value}}`."""


class Runs(Protocol):
    """Several logs side by side; a run is the log of one generation."""

    def begin(self, runs: Sequence[str], step: int) -> None:
        """Begin runs at a step; what was logged from that step on is replaced."""

    def scalars(self, values: Scalars, step: int) -> None:
        """Log the scalars of runs that have begun."""

    def image(self, run: str, name: str, pixels: Tensor, step: int) -> None:
        """Log a picture (3, H, W) in [0, 1], where pictures are supported."""

    def end(self, runs: Sequence[str]) -> None:
        """Write what is not written yet, and end the runs."""


class TensorBoardRuns:
    """One subfolder with an event file for each run, on every rank.

    Args:
        folder: the folder that `tensorboard --logdir` is given.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: dict[str, SummaryWriter] = {}

    def begin(self, runs: Sequence[str], step: int) -> None:
        """Open the event files; an earlier attempt is purged from `step` on."""
        from torch.utils.tensorboard import SummaryWriter

        for run in runs:
            folder = self.folder / run
            for old in folder.glob("events.*") if step == 0 else []:
                old.unlink()
            self.writers[run] = SummaryWriter(str(folder), purge_step=step)

    def scalars(self, values: Scalars, step: int) -> None:
        """Add the values to the event files of their runs."""
        for run, columns in values.items():
            for name, value in columns.items():
                self.writers[run].add_scalar(name, value, step)

    def image(self, run: str, name: str, pixels: Tensor, step: int) -> None:
        """Add a picture to the event file of its run."""
        self.writers[run].add_image(name, pixels, step)

    def end(self, runs: Sequence[str]) -> None:
        """Close the event files."""
        for run in runs:
            self.writers.pop(run).close()


class LoggerRuns:
    """One of the Trainer's loggers; the names of its values begin with their run.

    Lightning's loggers are silent on all ranks but the first. Here every rank optimises
    generations of its own, so every rank logs, to a place of its own: `CSVLogger` and
    `TensorBoardLogger` write to the folder `NAME/rank-R` on rank R > 0, the loggers of
    services begin a run for each rank. A logger without support for pictures logs the
    scalars only.

    Args:
        logger: any logger of Lightning, or of the user.
        rank: number of this process in the job.
    """

    def __init__(self, logger: Logger, rank: int) -> None:
        self.logger = logger
        self.rank = rank
        place = f"rank-{rank}"
        filed = isinstance(logger, CSVLogger | TensorBoardLogger)
        if rank and filed and not str(logger.name).endswith(place):
            logger._name = "/".join(filter(None, (logger.name, place)))  # type: ignore[attr-defined]

    def begin(self, runs: Sequence[str], step: int) -> None:
        """Do nothing, because a run is a prefix."""

    def scalars(self, values: Scalars, step: int) -> None:
        """Log the values of all runs together."""
        flat = {f"{run}/{k}": v for run, row in values.items() for k, v in row.items()}
        if flat:
            with logging_rank():
                self.logger.log_metrics(flat, step)

    def image(self, run: str, name: str, pixels: Tensor, step: int) -> None:
        """Log a picture, if the logger or its experiment has a method for it."""
        key, picture = f"{run}/{name}", to_pil(pixels)
        with logging_rank():
            experiment: Any = getattr(self.logger, "experiment", None)
            if hasattr(self.logger, "log_image"):  # Weights & Biases
                self.logger.log_image(key, [picture], step)
            elif isinstance(self.logger, MLFlowLogger):
                identity = self.logger.run_id
                experiment.log_image(identity, picture, key=key, step=step)
            elif hasattr(experiment, "add_image"):  # TensorBoard
                experiment.add_image(key, pixels, step)

    def end(self, runs: Sequence[str]) -> None:
        """Write what the logger still holds in memory."""
        with logging_rank():
            self.logger.save()


@contextmanager
def logging_rank() -> Iterator[None]:
    """Let the loggers of this process log, whatever its rank is."""
    decorator: Any = rank_zero_only  # its attribute `rank` decides for all loggers
    rank, decorator.rank = decorator.rank, 0
    try:
        yield
    finally:
        decorator.rank = rank
