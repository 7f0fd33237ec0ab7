"""The base class of baselines, and the baseline without any guidance by a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch import Tensor
from typing_extensions import override

from doodl.batch import Batch
from doodl.rendering import Renderer
from doodl.trajectory import Rendering, Selector


class Baseline(ABC):
    """Samples a batch of generations without optimising their latents.

    Attributes:
        selector: how the result is selected among the renderings: `guide` for the
            highest score by the guide, `last` for the last rendering.
    """

    selector: Selector = "guide"

    @abstractmethod
    def __call__(
        self, renderer: Renderer, batch: Batch, latents: Tensor, num_updates: int
    ) -> Iterator[Rendering]:
        """Yield renderings of the whole batch, the original first.

        Args:
            renderer: makes and scores the pictures.
            batch: the batch of generations.
            latents: (k, B, C, h, w), the initial latents that `fit` would optimise.
            num_updates: number of updates of the optimisation to compare with.
        """


class Original(Baseline):
    """Samples the initial latents without any guidance by the loss."""

    @override
    def __call__(
        self, renderer: Renderer, batch: Batch, latents: Tensor, num_updates: int
    ) -> Iterator[Rendering]:
        yield renderer.render(latents, batch, update=0)
