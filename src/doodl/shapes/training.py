"""What the trainings of the shapes world share: steps, seeds, resuming, schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.nn import Parameter
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader


class Training(LightningModule):
    """A training whose batches are drawn from (seed, step), so that it can resume.

    Args:
        steps: number of optimiser steps; the rate falls to zero over them.
        lr: peak learning rate, after 100 steps of warm-up.
        seed: of the data and of the initial weights.
    """

    def __init__(self, *, steps: int, lr: float, seed: int) -> None:
        super().__init__()
        self.steps, self.lr, self.seed = steps, lr, seed
        torch.manual_seed(seed)

    def generator(self) -> torch.Generator:
        """Return the source of this step's randomness."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)

    def trained(self) -> Iterable[Parameter]:
        """Return the parameters that this training changes."""
        return self.parameters()

    def rate(self, step: int) -> float:
        """Return the share of the peak rate at a step: warm-up, then half a cosine."""
        progress = min(step / self.steps, 1)
        return min(step / 100, 1) * (0.5 * (1 + math.cos(math.pi * progress)) + 0.01)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW and its schedule."""
        optimizer = AdamW(
            self.trained(), lr=self.lr, betas=(0.9, 0.99), weight_decay=0.01
        )
        schedule = LambdaLR(optimizer, self.rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def fit(training: Training, folder: Path, *, threads: int = 1) -> None:
    """Train, from the last checkpoint in `folder` if there is one.

    Args:
        training: the module; `training.steps` says how long.
        folder: for the checkpoint and the log of the losses.
        threads: of this process, on a CPU.
    """
    torch.set_num_threads(threads)
    training.train()
    keep = ModelCheckpoint(
        folder, filename="last", every_n_train_steps=100, enable_version_counter=False
    )
    trainer = Trainer(
        max_steps=training.steps,
        max_epochs=-1,
        devices=1,
        logger=CSVLogger(folder, name="", version=""),
        callbacks=[keep],
        log_every_n_steps=25,
        gradient_clip_val=1.0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = folder / "last.ckpt"
    data: DataLoader[int] = DataLoader(
        range(training.steps),  # type: ignore[arg-type]
        batch_size=None,
    )
    trainer.fit(
        training, data, ckpt_path=last if last.exists() else None, weights_only=False
    )
    trainer.save_checkpoint(last)
