"""What generations are made with: frozen objects that the module holds, not owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from doodl import images
from doodl.editing import Edit
from doodl.generation import Generation
from doodl.guides.base import Guide, freeze
from doodl.guides.views import Verdict
from doodl.pretrained import TextToImage
from doodl.sampling.adjoints import Adjoint, default_adjoint, reverses
from doodl.sampling.chain import Method
from doodl.sampling.sampler import Sampler

if TYPE_CHECKING:
    from doodl.guided_generation import GuidedGeneration


class Baseline(Protocol):
    """Something that samples a batch of generations in another way."""

    def __call__(self, module: GuidedGeneration) -> None:
        """Sample `module.trajectory.generations` and record their images."""


@dataclass
class Parts:
    """Networks and choices; a plain object, so that none becomes a parameter.

    Args:
        guide: the loss.
        judge: a guide that only watches.
        verdict: says whether an image is what was asked for.
        baseline: what `predict` does.
        edit: begins with pictures instead of noise.
        method: what makes a step.
        adjoint: how the gradient is taken through the chain; None to let `settle`
            choose.

    Attributes:
        model: the frozen text-to-image model, once it is loaded.
        sampler: its chain, from the latent pair to the final pair.

    Raises:
        ValueError: an adjoint that undoes moves with a method that cannot.
    """

    guide: Guide
    judge: Guide | None
    verdict: Verdict | None
    baseline: Baseline
    edit: Edit | None
    method: Method
    adjoint: Adjoint | None
    model: TextToImage = field(init=False)
    sampler: Sampler = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if not self.method.reversible and self.reverses:
            raise ValueError(
                f"Expected the adjoint CheckpointAdjoint or DirectAdjoint, since "
                f"{type(self.method).__name__} cannot be reversed, received "
                f"{type(self.adjoint).__name__}."
            )

    def settle(self, *, sixteen_bits: bool) -> Adjoint:
        """Return the adjoint, chosen if it was not given."""
        if self.adjoint is None:
            self.adjoint = default_adjoint(self.method, sixteen_bits)
        return self.adjoint

    @property
    def reverses(self) -> bool:
        """Whether the adjoint undoes the chain's moves."""
        return reverses(self.adjoint)

    @property
    def loaded(self) -> bool:
        """Whether the networks are there."""
        return hasattr(self, "model")

    @property
    def watchers(self) -> dict[str, Guide]:
        """Guide and judge by name, as far as there are such."""
        both = {"guide": self.guide, "judge": self.judge}
        return {name: guide for name, guide in both.items() if guide is not None}

    def kinds(self) -> dict[str, Any]:
        """Return what changes an image: classes by name, and their plain values.

        Of a guide the class alone: its values change as it loads.
        """
        found: dict[str, Any] = {}
        for name in ("guide", "baseline", "edit", "method"):
            part = getattr(self, name)
            found[name] = f"{type(part).__module__}.{type(part).__name__}"
            if name != "guide":
                values = getattr(part, "__dict__", {}).items()
                plain = {k: v for k, v in values if isinstance(v, int | float | str)}
                found |= {f"{name}.{k}": v for k, v in plain.items()}
        return found

    def check(self, generations: Sequence[Generation]) -> None:
        """Refuse generations that guide, judge or edit cannot work on.

        Raises:
            ValueError: naming what they lack.
        """
        for part in (*self.watchers.values(), self.edit):
            if part is not None:
                part.check(generations)
        if self.verdict is not None:  # it may look at the pictures that are asked for
            for path in dict.fromkeys(g.image for g in generations if g.image):
                images.load(path)

    def load(self, device: torch.device) -> None:
        """Load the networks that look at pictures, frozen, onto a device."""
        looking: list[Any] = [*self.watchers.values(), self.verdict]
        for part in looking:
            if part is not None:
                part.load(device)
            if isinstance(part, nn.Module):
                freeze(part)
