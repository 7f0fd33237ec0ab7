"""What a baseline is: another way to make pictures from the same initial noise."""

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
        selector: which of its renderings is the result: the one that the guide scores
            highest, or the last.
    """

    selector: Selector = "guide"

    @abstractmethod
    def __call__(
        self, renderer: Renderer, batch: Batch, latents: Tensor, num_updates: int
    ) -> Iterator[Rendering]:
        """Yield renderings of all generations of the batch, the original first.

        Args:
            renderer: makes and scores pictures.
            batch: what is to be made.
            latents: (k, B, C, h, w), the initial latents of an optimisation.
            num_updates: of the optimisation that is compared with.
        """


class Original(Baseline):
    """The image of the initial latents, without any guidance by the loss."""

    @override
    def __call__(
        self, renderer: Renderer, batch: Batch, latents: Tensor, num_updates: int
    ) -> Iterator[Rendering]:
        yield renderer.render(latents, batch, update=0)
