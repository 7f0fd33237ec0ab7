"""The base class of baselines, and the baseline without any guidance by a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, get_args

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


def renderings_of(baseline: Baseline, *values: Any) -> Iterator[Rendering]:
    """Yield the renderings of a baseline, which may be a user's own.

    Args:
        baseline: samples the batch.
        *values: arguments of its `__call__`.

    Raises:
        ValueError: it yields nothing or something else, or has another selector.
    """
    name, count = f"the baseline {type(baseline).__name__}", 0
    if baseline.selector not in get_args(Selector):
        raise ValueError(
            f"Expected the selector 'guide' or 'last' of {name}, received "
            f"{baseline.selector!r:.60}."
        )
    for count, rendering in enumerate(baseline(*values) or (), 1):  # noqa: B007
        if not isinstance(rendering, Rendering):
            raise ValueError(
                f"Expected a Rendering from {name}, received {rendering!r:.60}; yield "
                "what renderer.render or renderer.render_ddim returns."
            )
        yield rendering
    if not count:
        raise ValueError(
            f"Expected at least one Rendering from {name}, received none; yield what "
            "renderer.render or renderer.render_ddim returns."
        )


class Original(Baseline):
    """Samples the initial latents without any guidance by the loss."""

    @override
    def __call__(
        self, renderer: Renderer, batch: Batch, latents: Tensor, num_updates: int
    ) -> Iterator[Rendering]:
        yield renderer.render(latents, batch, update=0)
