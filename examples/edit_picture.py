"""Edit given pictures: invert them, and optimise from there.

    python examples/edit_picture.py photo.png

Without arguments it edits two packaged pictures toward a higher aesthetic rating.
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from lightning import Trainer

import doodl
from doodl.callbacks import Multicrop, Progress, Results
from doodl.editing import Edit
from doodl.guides import Aesthetic

PICTURES = ("shapes/dull.png", "shapes/dull_star.png")
SETTINGS = {"num_steps": 20, "num_updates": 10, "guidance_scale": 1.0, "mixing": 0.75}


def main(
    pictures: Sequence[str] = PICTURES, folder: str = "results/edited", **settings: Any
) -> None:
    """Write the reconstruction and the edited version of each picture."""
    module = doodl.GuidedGeneration(
        "shapes",
        Aesthetic("shapes/guide", "shapes/aesthetic", target=10.0),
        edit=Edit(strength=0.6),
        # The pair of an inverted picture is two different latents, never averaged.
        optimizer=partial(
            doodl.LatentSGD,
            lr=4.0,
            clip=0.01,
            noise_scale=0.0,
            tie_gradients=False,
            average_pair=False,
        ),
        **{**SETTINGS, **settings},
    )
    data = doodl.PromptsAndSeeds(None, seeds=[0], images=list(pictures))
    trainer = Trainer(
        max_epochs=-1,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[Multicrop(cutout_size=40), Results(folder), Progress()],
    )
    trainer.fit(module, data)


if __name__ == "__main__":
    main(sys.argv[1:] or PICTURES)
