"""Keeps a job's whole configuration with its results."""

from __future__ import annotations

import warnings
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from typing_extensions import override

from doodl.files import write


class SavedConfig(SaveConfigCallback):
    """Writes `config.yaml` to the results folder, whichever loggers the Trainer has.

    Lightning's own callback writes it before anything is checked, so that a refused
    command would overwrite the configuration of finished results. This callback is the
    trainer's last, and writes after `Results` has accepted the job.
    """

    changes_images = False

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        pass

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().setup(trainer, pl_module, "fit")

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().setup(trainer, pl_module, "predict")

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
            text = self.parser.dump(self.config, skip_none=False)
        write(path, text.encode())  # replaces a link instead of following it
