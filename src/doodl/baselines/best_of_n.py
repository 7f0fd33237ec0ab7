"""Best of N: draw, look, keep the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doodl import latents as pairs

if TYPE_CHECKING:
    from doodl.guided_generation import GuidedGeneration

CALLS_OF_AN_UPDATE = 6.8
"""DDIM samples that cost as much as one exact EDICT update, in forward calls: two
latents, and about 3.4 forward calls' arithmetic for each call and its gradient."""


class BestOfN:
    """N DDIM samples of different noise; the guide keeps the best.

    The first is the generation's own seed, so that the original is among them. Of an
    edit each begins with the picture under that much noise.

    Args:
        samples: N; by default as many as cost what `updates` updates cost.
        updates: of the optimisation that is compared with, by default the module's
            `num_updates`.
    """

    def __init__(self, samples: int | None = None, updates: int | None = None) -> None:
        if samples is not None and samples < 1:
            raise ValueError(f"Expected samples of at least 1, received {samples}.")
        if updates is not None and updates < 1:
            raise ValueError(f"Expected updates of at least 1, received {updates}.")
        self.samples, self.updates = samples, updates

    def count(self, num_updates: int) -> int:
        """Return N beside an optimisation of so many updates."""
        return self.samples or round(CALLS_OF_AN_UPDATE * (self.updates or num_updates))

    def __call__(self, module: GuidedGeneration) -> None:
        """Record N samples of every generation of the module's batch."""
        generations = module.trajectory.generations
        seeds = [g.seed for g in generations]
        edit = module.parts.edit
        for number in range(self.count(module.num_updates)):
            if number:
                noise = pairs.noise(seeds, "draw", number, module.shape)
            else:
                noise = pairs.draw(seeds, module.shape)
            start = edit.noised(module, generations, noise) if edit else noise
            module.record_ddim(start[None], update=number)
