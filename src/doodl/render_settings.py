"""Settings of sampling and scoring, checked before any network is loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from doodl import images
from doodl.execution import Execution
from doodl.generation import Generation
from doodl.guides.base import Guide, freeze
from doodl.guides.views import Verdict
from doodl.pretrained import TextToImage
from doodl.sampling.adjoints import (
    Adjoint,
    BudgetAdjoint,
    CheckpointAdjoint,
    DirectAdjoint,
)
from doodl.sampling.chain import Method
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.terminal import counted

MOST_PIXELS = 2**15
"""Largest height and width of an image."""


class Start(ABC):
    """Provides the initial latents in place of a seed's noise, as `Edit` does."""

    @abstractmethod
    def check(self, generations: Sequence[Generation]) -> None:
        """Refuse generations for which there are no initial latents.

        Raises:
            ValueError: a generation lacks an input, which the message names.
        """

    @abstractmethod
    def first_step(self, num_steps: int) -> int:
        """Return the index of the first denoising step that is sampled."""

    @abstractmethod
    def num_calls(self, chain: int) -> int:
        """Return how many network calls the initial latents take.

        Args:
            chain: number of calls of the chain that is optimised.
        """

    @abstractmethod
    def initial(self, renderer: Any, batch: Any) -> Tensor:
        """Return the initial latents (k, B, C, h, w) of a `Batch`."""

    @abstractmethod
    def noised(self, renderer: Any, batch: Any, noise: Tensor) -> Tensor:
        """Return single initial latents (B, C, h, w) that contain the given noise."""


class RenderSettings:
    """Settings of sampling and scoring; constructing them loads no network.

    Args:
        guide: computes the loss, from a frozen network or any function of the pixels.
        judge: a guide that is held out for evaluation and never optimised.
        verdict: decides whether an image shows what its prompt asks for.
        method: the sampling method, by default `EDICT(mixing)`; use `DDIM` for models
            that were distilled to a few steps.
        adjoint: computes the gradient through the chain. By default it is the
            reversible adjoint if the method is reversible and the networks compute in
            32 bits or more, and otherwise the checkpoint adjoint.
        edit: provides the initial latents from pictures instead of noise.
        num_steps: number of denoising steps T, from 1 to 1000.
        guidance_scale: classifier-free guidance w; 1 turns it off.
        guidance_interval: first and last timestep with classifier-free guidance, each
            from 0 to 999; by default all timesteps have it. A step without guidance
            costs half.
        mixing: p of the default method EDICT. Fewer steps need a smaller p.
        height: height of the image in pixels, by default the model's own.
        width: width of the image in pixels, by default the model's own.
        latents_dtype: type of the latents and of the step arithmetic, independent of
            the networks' precision.
        execution: how the networks run: compiled, channels last, one picture at a
            time, text encoders offloaded.

    Attributes:
        first_step: index of the first denoising step of the chain; 0 without an edit.

    Raises:
        ValueError: a value is out of range, or two values exclude each other.
    """

    def __init__(
        self,
        guide: Guide,
        *,
        judge: Guide | None = None,
        verdict: Verdict | None = None,
        method: Method | None = None,
        adjoint: Adjoint | None = None,
        edit: Start | None = None,
        num_steps: int = 50,
        guidance_scale: float = 7.5,
        guidance_interval: tuple[int, int] | None = None,
        mixing: float = 0.93,
        height: int | None = None,
        width: int | None = None,
        latents_dtype: Literal["float32", "float64"] = "float32",
        execution: Execution | None = None,
    ) -> None:
        if not isinstance(guide, Guide):
            raise ValueError(
                f"Expected a guide, an object of a subclass of doodl.guides.Guide, "
                f"received {guide!r:.80}; wrap a function as doodl.guides.Function."
            )
        _check(num_steps, guidance_scale, guidance_interval)
        _check_sides(height=height, width=width)
        self.guide, self.judge, self.verdict = guide, judge, verdict
        self.method, self.adjoint = method or EDICT(mixing), adjoint
        self.edit, self.num_steps = edit, num_steps
        self.guidance_scale, self.guidance_interval = guidance_scale, guidance_interval
        self.mixing: float = getattr(method, "mixing", mixing)
        self.height, self.width = height, width
        self.latents_dtype: torch.dtype = getattr(torch, latents_dtype)
        self.execution = execution or Execution()
        self._refuse_what_excludes_each_other()
        # The denoiser's constructor checks scale and interval without a network call.
        GuidedDenoiser(_identity, guidance_scale, None, guidance_interval)
        self.first_step = 0 if edit is None else edit.first_step(num_steps)

    def _refuse_what_excludes_each_other(self) -> None:
        if self.method.reversible:
            return
        method = type(self.method).__name__
        if getattr(self.adjoint, "reverses", False):
            raise ValueError(
                f"Expected the adjoint CheckpointAdjoint or DirectAdjoint, since "
                f"{method} cannot be reversed, received {type(self.adjoint).__name__}."
            )
        if self.edit is not None:
            raise ValueError(
                f"Expected the method EDICT with an edit, which inverts the chain, "
                f"received {method}, which cannot be reversed."
            )

    @property
    def watchers(self) -> dict[str, Guide]:
        """Guide and judge under the keys "guide" and "judge"; None is left out."""
        both = {"guide": self.guide, "judge": self.judge}
        return {name: guide for name, guide in both.items() if guide is not None}

    def check(self, generations: Sequence[Generation]) -> None:
        """Refuse generations that lack an input of guide, judge, verdict or edit.

        Raises:
            ValueError: the message names the missing or unreadable input.
        """
        for part in (*self.watchers.values(), self.edit):
            if part is not None:
                part.check(generations)
        if self.verdict is not None:  # a verdict may read the reference pictures
            paths = list(dict.fromkeys(g.image for g in generations if g.image))
            for path in counted(paths, "pictures"):
                images.load(path)

    def refuse_few_steps(self, model: TextToImage) -> None:
        """Refuse a method with two latents if the model was distilled to few steps.

        Raises:
            ValueError: the message names a method that works.
        """
        if self.method.num_latents > 1 and model.few_steps(self.num_steps):
            raise ValueError(
                f"Expected the method DDIM for a model that jumps in few steps, "
                f"received {type(self.method).__name__} with num_steps "
                f"{self.num_steps}: its second call would see a nearly clean latent at "
                "a noisy timestep; set model.method doodl.sampling.ddim.DDIM."
            )

    def load_watchers(self, device: torch.device | str) -> None:
        """Load guide, judge and verdict onto a device and freeze them."""
        for part in (*self.watchers.values(), self.verdict):
            if part is not None:
                part.load(device)
            if isinstance(part, nn.Module):
                freeze(part)

    def lighter_adjoint(self) -> str | None:
        """Return an adjoint with the same gradient and less memory, if there is one."""
        if self.method.reversible:
            heavy = DirectAdjoint, CheckpointAdjoint, BudgetAdjoint
            return "ReversibleAdjoint" if isinstance(self.adjoint, heavy) else None
        heavier = DirectAdjoint, BudgetAdjoint
        return "CheckpointAdjoint" if isinstance(self.adjoint, heavier) else None


def _check(
    num_steps: int, guidance_scale: float, guidance_interval: Sequence[int] | None
) -> None:
    """Refuse numbers that are out of range."""
    if not 1 <= num_steps <= 1000:
        raise ValueError(
            f"Expected num_steps between 1 and 1000, received {num_steps}."
        )
    if not 0 <= guidance_scale <= 100:
        raise ValueError(
            f"Expected a guidance_scale between 0 and 100, received "
            f"{guidance_scale}; 1 is none, and 7.5 is usual."
        )
    if guidance_interval and not all(0 <= t <= 999 for t in guidance_interval):
        raise ValueError(
            "Expected a guidance_interval of timesteps from 0 to 999, received "
            f"{list(guidance_interval)}."
        )


def _check_sides(**sides: int | None) -> None:
    for name, side in sides.items():
        if side is not None and not 1 <= side <= MOST_PIXELS:
            raise ValueError(
                f"Expected a {name} of 1 to {MOST_PIXELS} pixels, received {side}; "
                "leave it out for the model's own."
            )


def _identity(z: Tensor) -> Tensor:
    return z
