"""Keeps a job's whole configuration with its results."""

from __future__ import annotations

import warnings
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from typing_extensions import override


class SavedConfig(SaveConfigCallback):
    """Writes `config.yaml` to the results folder, whichever loggers the Trainer has."""

    changes_images = False

    @override
    def save_config(
        self, trainer: Trainer, pl_module: LightningModule, stage: str
    ) -> None:
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.config_filename
        with warnings.catch_warnings():
            # Newer versions of jsonargparse have another name for `skip_none`.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.parser.save(self.config, path, skip_none=False, overwrite=True)
