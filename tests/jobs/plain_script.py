"""Run by test_strategy.py: a script as a user would write it, in several processes.

Every process appends the generations that it makes to `rank-N.txt`.
"""

import argparse
import time
from pathlib import Path

from lightning import Callback, Trainer

from doodl.guided_generation import GuidedGeneration
from doodl.guides import Symmetry
from doodl.jobs.data import PromptsAndSeeds

DEADLINE = 60
"""Seconds until a process gives up waiting for another; the test then fails."""


class Record(Callback):
    def __init__(self, folder):
        self.folder = folder

    def on_train_epoch_start(self, trainer, pl_module):
        (self.folder / f"began-{trainer.global_rank}").touch()
        end = time.monotonic() + DEADLINE
        while len(list(self.folder.glob("began-*"))) < 2:  # both have a batch
            if time.monotonic() > end:
                raise TimeoutError("no other process began")
            time.sleep(0.02)

    def on_train_epoch_end(self, trainer, pl_module):
        with (self.folder / f"rank-{trainer.global_rank}.txt").open("a") as file:
            for generation in pl_module.trajectory.generations:
                file.write(f"{generation.id}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pipeline")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strategy", default="auto")
    options = parser.parse_args()
    module = GuidedGeneration(
        options.pipeline, Symmetry(), num_steps=2, num_updates=1, mixing=0.8
    )
    data = PromptsAndSeeds(["a red circle"], seeds=range(5), batch_size=1)
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy=options.strategy,
        callbacks=[Record(options.folder)],
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)


if __name__ == "__main__":
    main()
