"""A job that can be interrupted at any moment: run it again, and it goes on.

    python examples/batch_job.py

`python examples/batch_job.py 4` uses four processes, which share only a counter.
"""

import sys
from functools import partial
from typing import Any

from lightning import Trainer

import doodl
from doodl.callbacks import Multicrop, Progress, Results
from doodl.guides import CLIPText

PROMPTS = ["a red circle", "a blue star left of a yellow cross", "a green heart"]
SETTINGS = {"num_steps": 20, "num_updates": 10, "guidance_scale": 5.0, "mixing": 0.75}


def main(folder: str = "results/python", processes: int = 1, **settings: Any) -> None:
    """Make every prompt with four seeds; skip what the folder already has."""
    module = doodl.GuidedGeneration(
        "shapes",
        CLIPText("shapes/guide"),
        optimizer=partial(doodl.LatentSGD, lr=40.0, clip=0.04),
        **{**SETTINGS, **settings},
    )
    data = doodl.PromptsAndSeeds(PROMPTS, seeds="0-3", batch_size=4)
    trainer = Trainer(
        max_epochs=-1,
        devices=processes,
        strategy="independent" if processes > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[Multicrop(cutout_size=40), Results(folder), Progress()],
    )
    trainer.fit(module, data)


if __name__ == "__main__":
    main(processes=int(sys.argv[1]) if len(sys.argv) > 1 else 1)
