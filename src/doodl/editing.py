"""Editing: initial latents that reproduce a given picture, in place of noise."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from doodl import images
from doodl.batch import Batch
from doodl.generation import Generation
from doodl.render_settings import Start
from doodl.rendering import Renderer
from doodl.terminal import counted

ROUGH = 0.05
"""Mean error of the reconstructed latents, in their standard deviations, from which on
the reconstruction visibly differs from the picture."""


class Edit(Start):
    """Starts from the generation's picture, inverted through the EDICT chain.

    The picture is encoded, both latents of the pair are set to the encoding, and the
    steps are inverted from the least to the most noisy. The resulting pair consists of
    two different latents, from which sampling reproduces the picture.

    Args:
        strength: fraction of the chain that is inverted and sampled again, in (0, 1]:
            the last int(T * strength) steps.

    Raises:
        ValueError: the strength is outside (0, 1].

    References:
        Wallace et al., EDICT, arXiv 2211.12446; DOODL, arXiv 2303.13703, section 5.4.
    """

    def __init__(self, strength: float = 1.0) -> None:
        if not (math.isfinite(strength) and 0 < strength <= 1):
            raise ValueError(
                f"Expected a strength above 0 and up to 1, received {strength}."
            )
        self.strength = strength

    @override
    def first_step(self, num_steps: int) -> int:
        """Return the index of the first step that is sampled.

        Raises:
            ValueError: the strength is so small that no step is sampled.
        """
        count = int(num_steps * self.strength)
        if count < 1:
            raise ValueError(
                f"Expected a strength of at least {1 / num_steps:.3g} for num_steps "
                f"{num_steps}, received {self.strength}."
            )
        return num_steps - count

    @override
    def num_calls(self, chain: int) -> int:
        """Return the calls of the inversion and of sampling once more."""
        return 2 * chain

    @override
    def check(self, generations: Sequence[Generation]) -> None:
        """Refuse generations without a readable picture.

        Raises:
            ValueError: the message names the prompt or the file.
        """
        for generation in generations:
            if generation.image is None:
                raise ValueError(
                    "Expected a picture to edit, received none for the prompt "
                    f"'{generation.prompt}'; set data.images."
                )
        paths = list(dict.fromkeys(g.image for g in generations))
        for path in counted(paths, "pictures"):
            images.load(str(path))

    @override
    @torch.no_grad()
    def initial(self, renderer: Renderer, batch: Batch) -> Tensor:
        """Return the pairs (2, B, C, h, w) that reproduce the generations' pictures.

        The reconstruction error is printed. If it is visible, a warning says so,
        because the results would then not be edits of the pictures.
        """
        clean = self.encode(renderer, batch)
        pair = torch.stack((clean, clean))
        initial = renderer.invert(pair, batch)
        again = renderer.sample(initial, batch)
        spread = pair.flatten(2).std(dim=2)
        errors = ((again - pair).abs().flatten(2).mean(dim=2) / spread).amax(dim=0)
        worst = int(errors.nan_to_num(torch.inf).argmax())
        self._report(errors[worst].item(), batch.generations[worst].image, renderer)
        return initial

    def _report(self, error: float, name: str | None, renderer: Renderer) -> None:
        """Print the largest reconstruction error; warn if it is visible."""
        print(
            f"doodl: the pictures to edit come back within {error:.2g} standard "
            f"deviations of their latents, '{name}' worst.",
            file=sys.stderr,
        )
        if not error < ROUGH:
            settings = renderer.settings
            warnings.warn(
                f"The picture '{name}' comes back with an error of {error:.2g} "
                f"standard deviations: mixing p = {settings.mixing:g} amplifies "
                f"round-off too much over {settings.num_steps - renderer.start} steps; "
                "choose a larger p, fewer steps, a smaller strength, or latents_dtype "
                "float64.",
                stacklevel=2,
            )

    @torch.no_grad()
    def encode(self, renderer: Renderer, batch: Batch) -> Tensor:
        """Return the latents (B, C, h, w) of the generations' pictures."""
        _, rows, columns = renderer.shape
        factor = renderer.model.factor
        size = rows * factor, columns * factor
        pixels = torch.stack(
            [images.cover(images.load(str(g.image)), *size) for g in batch.generations]
        )
        clean = renderer.encode(images.to_images(pixels))
        return clean.to(renderer.settings.latents_dtype)

    @override
    def noised(self, renderer: Renderer, batch: Batch, noise: Tensor) -> Tensor:
        """Return  alpha_t * encoding + sigma_t * noise  at the chain's first step.

        This edits without inversion (SDEdit, arXiv 2108.01073).
        """
        first = renderer.sampler.steps[renderer.start]
        clean = self.encode(renderer, batch)
        return first.alpha_t * clean + first.sigma_t * noise.to(clean)
