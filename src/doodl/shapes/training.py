"""What the trainings of the shapes world share: steps, seeds, resuming, schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.nn import Parameter
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

QUARTERS = 4
"""Draws are numbered, and the number modulo 4 says which training may see a draw.

Even draws are for what generates and guides, draws 1 and 3 modulo 4 for the networks
that judge it: `judge` and `referee` see no picture that a guide or each other saw.
"""


def draw_number(seed: int, step: int, quarter: int) -> int:
    """Return the number of a draw, which is the seed of its generator.

    Args:
        seed: of the training.
        step: of the training.
        quarter: the draw's number modulo `QUARTERS`.
    """
    if not 0 <= quarter < QUARTERS:
        raise ValueError(f"Expected a quarter from 0 to 3, received {quarter}.")
    return QUARTERS * (seed * 1_000_003 + step) + quarter


class Training(LightningModule):
    """A training whose batches are drawn from (seed, step), so that it can resume.

    Args:
        steps: number of optimiser steps; the rate falls to zero over them.
        lr: peak learning rate, after 100 steps of warm-up.
        seed: of the data and of the initial weights.
        quarter: of all draws, the one that this training sees (see `draw_number`).
    """

    def __init__(self, *, steps: int, lr: float, seed: int, quarter: int = 0) -> None:
        super().__init__()
        self.steps, self.lr, self.seed, self.quarter = steps, lr, seed, quarter
        torch.manual_seed(seed)

    def generator(self) -> torch.Generator:
        """Return the source of this step's randomness."""
        number = draw_number(self.seed, self.global_step, self.quarter)
        return torch.Generator().manual_seed(number)

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


def fit(
    training: Training, folder: Path, *, threads: int = 1, precision: Any = "32-true"
) -> None:
    """Train, from the last checkpoint in `folder` if there is one.

    Args:
        training: the module; `training.steps` says how long.
        folder: for the checkpoint and the log of the losses.
        threads: of this process, on a CPU.
        precision: as Lightning's `Trainer` takes it; "bf16-mixed" is faster on CPUs
            with bfloat16 instructions.
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
        precision=precision,
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
