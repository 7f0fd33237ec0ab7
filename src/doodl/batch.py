"""A batch of generations with all that the networks need for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from doodl.generation import Generation
from doodl.latents import stream
from doodl.sampling.denoiser import Conditioning


@dataclass(frozen=True)
class Batch:
    """B generations that are made together.

    Args:
        generations: the B generations.
        conditioning: inputs of the denoiser, leading dimension B.
        targets: targets of the guide and of the judge by name, leading dimension B.
    """

    generations: Sequence[Generation]
    conditioning: Conditioning
    targets: Mapping[str, Mapping[str, Tensor]]

    @property
    def seeds(self) -> list[int]:
        """The seed of each generation."""
        return [generation.seed for generation in self.generations]

    def crop_streams(self, count: int, update: int) -> list[torch.Generator]:
        """Return a source of random crops for each of (count, B) images, flattened."""
        return [
            stream(seed, f"crops {k}", update)
            for k in range(count)
            for seed in self.seeds
        ]
