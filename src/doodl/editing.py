"""Editing: the pair that the chain turns into a given picture, in place of noise."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from doodl import images
from doodl.generation import Generation

if TYPE_CHECKING:
    from doodl.guided_generation import GuidedGeneration

ROUGH = 0.05
"""A mean error of the reconstructed latents, in standard deviations, that shows."""


class Edit:
    """Begins with each generation's own picture, inverted through the EDICT chain.

    The picture is encoded, both latents of the pair become that encoding, and the steps
    are undone from the least noisy on. The pair that comes out holds two different
    latents, which sampling turns into the picture again.

    Args:
        strength: the share of the chain that is undone and sampled again, in (0, 1]:
            int(T x strength) steps.

    Raises:
        ValueError: a strength outside (0, 1].

    References:
        Wallace et al., EDICT, arXiv 2211.12446; DOODL, arXiv 2303.13703, section 5.4.
    """

    def __init__(self, strength: float = 1.0) -> None:
        if not (math.isfinite(strength) and 0 < strength <= 1):
            raise ValueError(
                f"Expected a strength above 0 and up to 1, received {strength}."
            )
        self.strength = strength

    def start(self, num_steps: int) -> int:
        """Return the index of the first step that is sampled.

        Raises:
            ValueError: there is none.
        """
        count = int(num_steps * self.strength)
        if count < 1:
            raise ValueError(
                f"Expected a strength of at least {1 / num_steps:.3g} for num_steps "
                f"{num_steps}, received {self.strength}."
            )
        return num_steps - count

    def check(self, generations: Sequence[Generation]) -> None:
        """Refuse generations without a picture that can be read.

        Raises:
            ValueError: naming the prompt or the file.
        """
        for generation in generations:
            if generation.image is None:
                raise ValueError(
                    "Expected a picture to edit, received none for the prompt "
                    f"'{generation.prompt}'; set data.images."
                )
        for path in dict.fromkeys(g.image for g in generations):
            images.load(str(path))

    @torch.no_grad()
    def invert(
        self, module: GuidedGeneration, generations: Sequence[Generation]
    ) -> Tensor:
        """Return the pairs (2, B, C, h, w) that make the generations' pictures.

        A warning says so if they do not, since then nothing that follows is an edit.
        """
        clean = self.encode(module, generations)
        pair = torch.stack((clean, clean))
        start = self.start(module.num_steps)
        initial = module.sampler.invert(pair, module.conditioning, start=start)
        again = module.sampler.sample(initial, module.conditioning, start=start)
        spread = pair.flatten(2).std(dim=2)
        errors = ((again - pair).abs().flatten(2).mean(dim=2) / spread).amax(dim=0)
        worst = int(errors.nan_to_num(torch.inf).argmax())
        error, name = errors[worst].item(), generations[worst].image
        print(
            f"doodl: the pictures to edit come back within {error:.2g} standard "
            f"deviations of their latents, '{name}' worst.",
            file=sys.stderr,
        )
        if not error < ROUGH:
            warnings.warn(
                f"The picture '{name}' comes back with an error of {error:.2g} "
                f"standard deviations: mixing p = {module.mixing:g} amplifies "
                f"round-off too much over {module.num_steps - start} steps; choose a "
                "larger p, fewer steps, a smaller strength, or latents_dtype float64.",
                stacklevel=2,
            )
        return initial

    @torch.no_grad()
    def encode(
        self, module: GuidedGeneration, generations: Sequence[Generation]
    ) -> Tensor:
        """Return the latents (B, C, h, w) of the generations' pictures."""
        _, rows, columns = module.shape
        factor = module.model.factor
        size = rows * factor, columns * factor
        pixels = torch.stack(
            [images.cover(images.load(str(g.image)), *size) for g in generations]
        )
        clean = module.model.encode(images.to_images(pixels.to(module.device)))
        return clean.to(module.latents_dtype)

    def noised(
        self, module: GuidedGeneration, generations: Sequence[Generation], noise: Tensor
    ) -> Tensor:
        """Return the pictures' latents with as much noise as where the chain starts.

        This is how one edits without inverting (SDEdit, arXiv 2108.01073).
        """
        first = module.sampler.steps[module.start]
        clean = self.encode(module, generations)
        return first.alpha_t * clean + first.sigma_t * noise.to(clean)
