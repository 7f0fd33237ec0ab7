"""Run by test_strategy.py in one process or several: work of uneven length.

Item k is optimised for k + 1 updates and written to `k.txt`; items are dealt in turn.
"""

import argparse
import os
import time
from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from doodl.jobs.strategy import IndependentRanks

DEADLINE = 60
"""Seconds until a wait for a file gives up; the test then fails."""


class Uneven(LightningModule):
    def __init__(self, options):
        super().__init__()
        self.options = options
        self.value = torch.nn.Parameter(torch.zeros(2))

    @property
    def name(self):
        return f"rank-{self.trainer.global_rank}"

    def write(self, name, text):
        (self.options.folder / name).write_text(str(text))

    def setup(self, stage):
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        self.items = range(self.options.items)[rank::world_size]
        self.trainer.fit_loop.max_epochs = len(self.items)
        self.write(f"{self.name}-of-{world_size}", os.getpid())
        if rank == self.options.slow:
            self.wait_for(f"rank-{1 - rank}-ended")

    def wait_for(self, name):
        end = time.monotonic() + DEADLINE
        while not (self.options.folder / name).exists():
            if time.monotonic() > end:
                raise TimeoutError(f"no {name}")
            time.sleep(0.02)

    def on_train_epoch_start(self):
        if self.trainer.global_rank == self.options.fails:
            raise ValueError("this rank fails")
        if self.options.waits:
            self.write(f"{self.name}-waits", "")
            while not self.trainer.received_sigterm:
                time.sleep(0.02)
        torch.manual_seed(self.items[self.current_epoch])
        self.value.data = torch.randn(2)

    def on_train_batch_start(self, batch, batch_idx):
        return -1 if batch_idx > self.items[self.current_epoch] else None

    def training_step(self, batch, batch_idx):
        assert not torch.distributed.is_initialized()
        assert self.all_gather(self.value.detach()).shape == self.value.shape
        self.log("loss", 1.0, sync_dist=True)
        return (self.value**4).sum()

    def on_train_epoch_end(self):
        self.write(f"{self.items[self.current_epoch]}.txt", self.value.tolist())

    def on_fit_end(self):
        self.write(f"{self.name}-ended", "")

    def predict_step(self, batch, batch_idx):
        self.write(f"{self.name}-predicted", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Stopped(Callback):
    def on_exception(self, trainer, module, exception):
        module.write(f"{module.name}-stopped", type(exception).__name__)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--num_nodes", type=int, default=1)
    parser.add_argument("--items", type=int, default=5)
    parser.add_argument("--slow", type=int)
    parser.add_argument("--fails", type=int)
    parser.add_argument("--waits", action="store_true")
    parser.add_argument("--predict", action="store_true")
    options = parser.parse_args()
    trainer = Trainer(
        accelerator="cpu",
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy=IndependentRanks(),
        logger=False,
        callbacks=[Stopped()],
        default_root_dir=options.folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    module = Uneven(options)
    loader = DataLoader(range(options.items), batch_size=None)
    if options.predict:
        trainer.predict(module, loader, return_predictions=False)
    else:
        trainer.fit(module, loader)


if __name__ == "__main__":
    main()
