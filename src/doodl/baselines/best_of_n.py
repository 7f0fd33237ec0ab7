"""Best of N: sample N times, and keep the picture with the highest guide score."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from typing_extensions import override

from doodl import latents as pairs
from doodl.baselines.base import Baseline
from doodl.batch import Batch
from doodl.rendering import Renderer
from doodl.sampling.gradient import BACKWARD
from doodl.trajectory import Rendering

SAMPLES_PER_UPDATE = 2 * (2 + BACKWARD)
"""Number of DDIM samples that cost as much as one EDICT update with exact gradient: an
update moves two latents, and each call with its gradient counts as 3.4 forward calls,
or 2.4 where memory holds the graphs, so that no call is repeated (see `BACKWARD`).
"""


class BestOfN(Baseline):
    """Makes N DDIM samples from different noise; the guide's score selects the best.

    The first sample uses the generation's own seed, so that it is the original. When
    editing, each sample starts from the encoded picture plus noise of the chain's first
    level (SDEdit, arXiv 2108.01073).

    Args:
        samples: N; by default the number that costs as much as `updates` updates whose
            adjoint repeats every call.
        updates: number of updates of the optimisation to compare with, by default the
            module's `num_updates`.
    """

    def __init__(self, samples: int | None = None, updates: int | None = None) -> None:
        if samples is not None and samples < 1:
            raise ValueError(f"Expected samples of at least 1, received {samples}.")
        if updates is not None and updates < 1:
            raise ValueError(f"Expected updates of at least 1, received {updates}.")
        self.samples, self.updates = samples, updates

    def count(self, num_updates: int) -> int:
        """Return N for the comparison with an optimisation of `num_updates` updates."""
        return self.samples or round(SAMPLES_PER_UPDATE * (self.updates or num_updates))

    @override
    def __call__(
        self, renderer: Renderer, batch: Batch, latents: Tensor, num_updates: int
    ) -> Iterator[Rendering]:
        """Yield N samples of every generation of the batch."""
        for number in range(self.count(num_updates)):
            noise = pairs.redraw(batch.seeds, number, renderer.shape)
            start = renderer.noised(batch, noise)
            yield renderer.render_ddim(start[None], batch, update=number)
