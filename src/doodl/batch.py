"""A batch of generations with the network inputs that belong to them."""

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
    """B generations that are sampled together.

    Args:
        generations: the B generations.
        conditioning: encoded prompts and other inputs of the denoiser, leading
            dimension B.
        targets: targets of the guide and of the judge, under the keys "guide" and
            "judge"; each tensor has leading dimension B.
    """

    generations: Sequence[Generation]
    conditioning: Conditioning
    targets: Mapping[str, Mapping[str, Tensor]]

    @property
    def seeds(self) -> list[int]:
        """The seed of each generation."""
        return [generation.seed for generation in self.generations]

    def crop_streams(self, count: int, update: int) -> list[torch.Generator]:
        """Return count * B random generators, one for the crops of each image.

        Args:
            count: number of images of each generation.
            update: number of the update; each update has its own random crops.

        Returns:
            the generators of images (count, B), flattened.
        """
        return [
            stream(seed, f"crops {k}", update)
            for k in range(count)
            for seed in self.seeds
        ]
