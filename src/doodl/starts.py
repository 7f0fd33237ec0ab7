"""Initial latents that are selected before the first update."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from doodl import latents as pairs
from doodl.batch import Batch
from doodl.generation import Generation
from doodl.render_settings import Start
from doodl.rendering import Renderer
from doodl.scoring import full_frame_scores


class BestOf(Start):
    """Starts from the best of several draws of noise, by the guide.

    Each draw is sampled by a short DDIM chain without a graph, and the guide scores the
    full image once, without crops. The draws belong to the seed of the generation, as
    those of `doodl.baselines.BestOfN` do, and draw 0 is the seed's usual noise: with
    one draw nothing changes. Selection leaves the latents white noise, whereas updates
    colour them. It takes the place of the first update, so that the first picture is
    that of the seed's usual noise.

    Costs `num_draws` times `num_steps` network calls, about a quarter of an update with
    exact gradient for 8 draws of 10 steps beside EDICT with 50.

    Args:
        num_draws: k, at least 1.
        num_steps: denoising steps of a draw's chain, from 1 to 1000.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(self, num_draws: int = 8, num_steps: int = 10) -> None:
        if num_draws < 1:
            raise ValueError(f"Expected num_draws of at least 1, received {num_draws}.")
        if not 1 <= num_steps <= 1000:
            raise ValueError(
                f"Expected num_steps of the draws between 1 and 1000, received "
                f"{num_steps}."
            )
        self.num_draws, self.num_steps = num_draws, num_steps

    @override
    def check(self, generations: Sequence[Generation]) -> None:
        """Accept all generations: a draw needs their seed only."""

    @override
    def first_step(self, num_steps: int) -> int:
        return 0

    @override
    def num_calls(self, chain: int) -> int:
        return self.num_draws * self.num_steps if self.num_draws > 1 else 0

    @override
    @torch.no_grad()
    def initial(self, renderer: Renderer, batch: Batch) -> Tensor:
        """Return k copies of each generation's best draw, (k, B, C, h, w).

        A draw without a finite score is never better than another one.
        """
        best = self.draw(renderer, batch, 0)
        scores = torch.full((len(batch.generations),), -torch.inf)
        for number in range(self.num_draws if self.num_draws > 1 else 0):
            noise = self.draw(renderer, batch, number)
            found = self.score(renderer, batch, noise)
            scores = scores.to(found)
            better = found > scores
            scores = torch.where(better, found, scores)
            best = torch.where(better[:, None, None, None], noise, best)
        return torch.stack((best,) * renderer.settings.method.num_latents)

    def draw(self, renderer: Renderer, batch: Batch, number: int) -> Tensor:
        """Return the draw of that number of every generation, (B, C, h, w)."""
        noise = pairs.redraw(batch.seeds, number, renderer.shape)
        return noise.to(renderer.device, renderer.settings.latents_dtype)

    def score(self, renderer: Renderer, batch: Batch, noise: Tensor) -> Tensor:
        """Return the guide's scores (B,) of the images that short chains make."""
        final = renderer.sample_ddim(noise[None], batch, self.num_steps)
        pixels = renderer.decode(final)[0]
        with renderer.precision():
            guide = {"guide": renderer.settings.guide}
            return full_frame_scores(guide, batch.targets, pixels)["guide"]

    @override
    def noised(self, renderer: Renderer, batch: Batch, noise: Tensor) -> Tensor:
        """Return the noise itself."""
        return noise


def initial_of(start: Start, renderer: Renderer, batch: Batch, like: Tensor) -> Tensor:
    """Return the initial latents of a start, which may be a user's own.

    Args:
        start: selects the latents.
        renderer: samples and scores.
        batch: of the generations.
        like: latents of the shape and type that are needed.

    Raises:
        ValueError: the start returns something else.
    """
    found = start.initial(renderer, batch)
    tensor = isinstance(found, Tensor) and found.is_floating_point()
    if tensor and found.shape == like.shape:
        return found.to(like)
    got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    raise ValueError(
        f"Expected latents {tuple(like.shape)} from initial of the start "
        f"{type(start).__name__}, received {got}; correct what it returns."
    )
