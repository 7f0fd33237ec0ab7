"""How pictures are made and scored: checked before any network is loaded."""

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
    CheckpointAdjoint,
    DirectAdjoint,
    ReversibleAdjoint,
)
from doodl.sampling.chain import Method
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.edict import EDICT


class Start(ABC):
    """Gives the initial latents in place of noise, as `Edit` does."""

    @abstractmethod
    def check(self, generations: Sequence[Generation]) -> None:
        """Refuse generations that it has no start for.

        Raises:
            ValueError: naming what they lack.
        """

    @abstractmethod
    def first_step(self, num_steps: int) -> int:
        """Return the index of the first denoising step that is sampled."""

    @abstractmethod
    def invert(self, renderer: Any, batch: Any) -> Tensor:
        """Return the initial latents (k, B, C, h, w) of a `Batch`."""

    @abstractmethod
    def noised(self, renderer: Any, batch: Any, noise: Tensor) -> Tensor:
        """Return single initial latents (B, C, h, w) with the given noise."""


class RenderSettings:
    """How pictures are made and scored; no network is needed to construct it.

    Args:
        guide: the loss, a frozen network's or any function of the pixels.
        judge: a guide held out for evaluation.
        verdict: says whether an image shows what was asked for.
        method: the moves of a denoising step, by default `EDICT(mixing)`; `DDIM` for
            models that were distilled to a few steps.
        adjoint: how the gradient is taken through the chain, by default the reversible
            one where the method can be reversed and networks compute in 32 bits or
            more, else the one that keeps the chain's states.
        edit: begins with pictures instead of noise.
        num_steps: denoising steps T, 1 to 1000.
        guidance_scale: classifier-free guidance w; 1 for none.
        guidance_interval: first and last timestep with guidance, of 0 to 999; by
            default all have it. Others cost half.
        mixing: EDICT's p of the default method; it has to follow the number of steps.
        height: of the image in pixels, by default the model's own.
        width: likewise.
        latents_dtype: of the latents and of the steps' arithmetic, whatever the
            precision of the networks.
        execution: how the networks are run: compiled, channels last, one picture at
            a time, text encoders offloaded.

    Attributes:
        start: index of the first denoising step that is sampled; 0 without an edit.

    Raises:
        ValueError: a value out of range, or two that exclude each other.
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
        if not 1 <= num_steps <= 1000:
            raise ValueError(
                f"Expected num_steps between 1 and 1000, received {num_steps}."
            )
        self.guide, self.judge, self.verdict = guide, judge, verdict
        self.method, self.adjoint = method or EDICT(mixing), adjoint
        self.edit, self.num_steps = edit, num_steps
        self.guidance_scale = guidance_scale
        self.guidance_interval = guidance_interval
        self.mixing: float = getattr(method, "mixing", mixing)
        self.height, self.width = height, width
        self.latents_dtype: torch.dtype = getattr(torch, latents_dtype)
        self.execution = execution or Execution()
        self._refuse_what_excludes_each_other()
        # The denoiser checks scale and interval; its network is not called here.
        GuidedDenoiser(_identity, guidance_scale, None, guidance_interval)
        self.start = 0 if edit is None else edit.first_step(num_steps)

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
        """Guide and judge by name, where there is one."""
        both = {"guide": self.guide, "judge": self.judge}
        return {name: guide for name, guide in both.items() if guide is not None}

    def check(self, generations: Sequence[Generation]) -> None:
        """Refuse generations that guide, judge, verdict or edit cannot work on.

        Raises:
            ValueError: naming what they lack.
        """
        for part in (*self.watchers.values(), self.edit):
            if part is not None:
                part.check(generations)
        if self.verdict is not None:  # it may look at the reference pictures
            for path in dict.fromkeys(g.image for g in generations if g.image):
                images.load(path)

    def refuse_few_steps(self, model: TextToImage) -> None:
        """Refuse a method of two latents for a model distilled to few steps.

        Raises:
            ValueError: naming the method that works.
        """
        if self.method.num_latents > 1 and model.few_steps(self.num_steps):
            raise ValueError(
                f"Expected the method DDIM for a model that jumps in few steps, "
                f"received {type(self.method).__name__} with num_steps "
                f"{self.num_steps}: its second call would see a nearly clean latent at "
                "a noisy timestep; set model.method doodl.sampling.ddim.DDIM."
            )

    def load_watchers(self, device: torch.device | str) -> None:
        """Load guide, judge and verdict, frozen, onto a device."""
        for part in (*self.watchers.values(), self.verdict):
            if part is not None:
                part.load(device)
            if isinstance(part, nn.Module):
                freeze(part)

    def lighter_adjoint(self) -> str | None:
        """Return the adjoint that needs less memory than the configured one, if any."""
        if self.method.reversible:
            lightest = self.adjoint is None or type(self.adjoint) is ReversibleAdjoint
            return None if lightest else "ReversibleAdjoint"
        heavy = isinstance(self.adjoint, DirectAdjoint)
        return CheckpointAdjoint.__name__ if heavy else None


def _identity(z: Tensor) -> Tensor:
    return z
