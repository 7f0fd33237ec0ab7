"""Cross-entropy search: samples whose low frequencies follow the best ones so far."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate
from typing_extensions import override

from doodl import latents as pairs
from doodl.baselines.best_of_n import BestOfN
from doodl.batch import Batch
from doodl.rendering import Renderer
from doodl.trajectory import Rendering

LEAST_SPREAD = 0.1
"""Smallest standard deviation of a coefficient that is searched."""


class CrossEntropySearch(BestOfN):
    """Searches the low frequencies of the noise with the guide's scores only.

    A guide without gradient can be followed in this way. A population of samples is
    drawn, a normal distribution is fitted to the low Haar band of the elites (the
    samples with the highest scores), and the next population is drawn from it. The
    other bands stay those of the seed's own noise, and each latent keeps its norm. The
    first sample is the original.

    Args:
        samples: number of samples in all; by default as for `BestOfN`.
        updates: number of updates of the optimisation to compare with, likewise.
        population: samples between two fits.
        elites: samples to which the distribution is fitted.
        level: of the Haar band; it has 4^-level of the latent's coefficients.

    Raises:
        ValueError: a value is out of range.

    References:
        arXiv 2602.03208.
    """

    def __init__(
        self,
        samples: int | None = None,
        updates: int | None = None,
        population: int = 10,
        elites: int = 5,
        level: int = 2,
    ) -> None:
        super().__init__(samples, updates)
        if not 2 <= elites < population:
            raise ValueError(
                "Expected at least 2 elites and a larger population, received elites "
                f"{elites} and population {population}."
            )
        if level < 0:
            raise ValueError(f"Expected a level of 0 or more, received {level}.")
        self.population, self.elites, self.level = population, elites, level

    @override
    def __call__(
        self, renderer: Renderer, batch: Batch, latents: Tensor, num_updates: int
    ) -> Iterator[Rendering]:
        """Yield the samples of every generation of the batch, in their order."""
        own = pairs.redraw(batch.seeds, 0, renderer.shape)
        search = LowBandSearch(own, self.population, self.elites, self.level)
        for number in range(self.count(num_updates)):
            noise = search.ask(pairs.redraw(batch.seeds, number, renderer.shape))
            start = renderer.noised(batch, noise)
            rendering = renderer.render_ddim(start[None], batch, update=number)
            search.tell(rendering.guide.to(own))
            yield rendering


class LowBandSearch:
    """A normal distribution of each generation's low band, fitted to the elites.

    Args:
        own: the seeds' own noise, (B, C, h, w), whose other bands stay.
        population: samples between two fits.
        elites: samples to which the distribution is fitted.
        level: of the Haar band, so that h and w are multiples of 2^level.

    Raises:
        ValueError: h or w is not such a multiple.
    """

    def __init__(self, own: Tensor, population: int, elites: int, level: int) -> None:
        size = 2**level
        if any(length % size for length in own.shape[2:]):
            raise ValueError(
                f"Expected latents with sides that are multiples of 2^level = {size}, "
                f"received {tuple(own.shape[2:])}; choose a smaller level."
            )
        self.own, self.population, self.elites, self.size = (
            own,
            population,
            elites,
            size,
        )
        self.mean, self.spread = 0 * self.low(own), 0 * self.low(own) + 1
        self.lows: list[Tensor] = []
        self.scores: list[Tensor] = []

    def low(self, noise: Tensor) -> Tensor:
        """Return the orthonormal coefficients of the low band, (B, C, h / s, w / s)."""
        return avg_pool2d(noise, self.size) * self.size

    def ask(self, fresh: Tensor) -> Tensor:
        """Return the noise (B, C, h, w) to score next, given white noise of its shape.

        The seeds' own noise is returned for itself until the first fit.
        """
        low = self.mean + self.spread * self.low(fresh)
        self.lows.append(low)
        change = (low - self.low(self.own)) / self.size
        moved = self.own + interpolate(change, scale_factor=self.size)
        return pairs.renormalize(moved[None], pairs.norms(self.own[None]))[0]

    def tell(self, scores: Tensor) -> None:
        """Take the scores (B,) of what was asked; higher is better."""
        self.scores.append(scores.nan_to_num(nan=-torch.inf))
        if len(self.scores) < self.population:
            return
        best = torch.stack(self.scores).topk(self.elites, dim=0).indices
        lows = torch.stack(self.lows)
        elites = lows.gather(
            0, best[:, :, None, None, None].expand(-1, *lows.shape[1:])
        )
        self.mean = elites.mean(dim=0)
        self.spread = elites.std(dim=0, correction=0).clamp(min=LEAST_SPREAD)
        self.lows, self.scores = [], []
