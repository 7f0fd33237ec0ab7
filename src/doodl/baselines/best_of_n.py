"""Best of N: draw, look, keep the best."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from typing_extensions import override

from doodl import latents as pairs
from doodl.baselines.base import Baseline
from doodl.batch import Batch
from doodl.rendering import Renderer
from doodl.trajectory import Rendering

SAMPLES_PER_UPDATE = 6.8
"""DDIM samples that cost as much as one exact EDICT update, in forward calls: two
latents, and about 3.4 forward calls' arithmetic for each call and its gradient."""


class BestOfN(Baseline):
    """N DDIM samples of different noise; the guide keeps the best.

    The first has the generation's own seed, so that the original is among them. When
    editing, each sample starts from the encoded picture plus noise of the chain's first
    level (SDEdit, arXiv 2108.01073).

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
        return self.samples or round(SAMPLES_PER_UPDATE * (self.updates or num_updates))

    @override
    def __call__(
        self, renderer: Renderer, batch: Batch, latents: Tensor, num_updates: int
    ) -> Iterator[Rendering]:
        """Yield N samples of every generation of the batch."""
        for number in range(self.count(num_updates)):
            if number:
                noise = pairs.noise(batch.seeds, "draw", number, renderer.shape)
            else:
                noise = pairs.draw(batch.seeds, renderer.shape)
            start = renderer.noised(batch, noise)
            yield renderer.render_ddim(start[None], batch, update=number)
