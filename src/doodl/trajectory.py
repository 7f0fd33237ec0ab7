"""The record of a batch: first, best and last image and the end of each generation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from doodl import images
from doodl.generation import Generation
from doodl.sampling.memory import is_out_of_memory
from doodl.tracebacks import user_frame

CORRUPT_GAP = 0.25
"""Mean distance of a pair's final latents, in their standard deviations, above which
the image is visibly corrupt."""
Selector = Literal["guide", "last"]
"""How the best image is selected: by the guide's score, or as the last one."""


@dataclass
class Rendering:
    """The images of a batch at one update with their scores; all tensors are detached.

    Args:
        update: number of updates that the latents have had.
        latents: (k, B, C, h, w), the initial latents of the images; None if no latents
            reproduce the images, because a baseline changed every step.
        pixels: (B, 3, H, W) in [0, 1], the images of the first latents.
        gap: (B,) mean distance of the two final latents, in units of their standard
            deviation.
        guide: (B,) score of the full image by the guide; higher is better.
        judge: (B,) score of the full image by the held-out judge; None without a judge.
        verdicts: whether each image shows what its prompt asks for; None where that
            cannot be decided. The list is empty without a verdict network.
        calls: network calls of the batch so far, without and with gradient.
    """

    update: int
    latents: Tensor | None
    pixels: Tensor
    gap: Tensor
    guide: Tensor
    judge: Tensor | None = None
    verdicts: list[bool | None] = field(default_factory=list)
    calls: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Snapshot:
    """One generation's image at one update, on the CPU.

    Args:
        update: number of updates that its latents have had.
        pixels: (3, H, W) in [0, 1].
        latents: (k, C, h, w), the initial latents of the image: a pair for EDICT, a
            single one for DDIM; None if no latents reproduce the image.
        guide: score by the guide; higher is better.
        judge: score by the judge; None without a judge.
        verdict: whether the image shows what its prompt asks for; None if unknown.
        calls: network calls until the image, without and with gradient.
    """

    update: int
    pixels: Tensor
    latents: Tensor | None
    guide: float
    judge: float | None
    verdict: bool | None
    calls: tuple[int, int] = (0, 0)

    @property
    def image(self) -> Image.Image:
        """The picture as an 8-bit RGB image of Pillow."""
        return images.to_pil(self.pixels)


class Trajectory:
    """The first, the best and the last image of each generation in a batch.

    The guide's score of the full image selects the best one; the judge's score is only
    reported. The record of a generation no longer changes once the generation has
    ended.

    Args:
        generations: the generations of the batch.
        selector: how the best image is selected: `guide` for the highest score by the
            guide, `last` for the last image.
    """

    def __init__(
        self,
        generations: Sequence[Generation],
        selector: Selector = "guide",
    ) -> None:
        self.selector = selector
        self.generations = list(generations)
        self.first: list[Snapshot | None] = [None] * len(self.generations)
        self.best: list[Snapshot | None] = [None] * len(self.generations)
        self.last: list[Snapshot | None] = [None] * len(self.generations)
        self.reasons: list[str | None] = [None] * len(self.generations)
        self.failures: list[str | None] = [None] * len(self.generations)

    def __len__(self) -> int:
        return len(self.generations)

    def record(self, rendering: Rendering) -> Rendering:
        """Record a rendering of the generations that have not ended, and return it.

        Those whose score is not finite fail.
        """
        if len(rendering.guide) != len(self):
            raise ValueError(
                f"Expected one score of each of {len(self)} generations, received "
                f"{len(rendering.guide)}; correct the callback that filters pictures."
            )
        self.fail_non_finite(rendering.guide, "the image's score")
        guide = rendering.guide.tolist()
        judge = rendering.judge.tolist() if rendering.judge is not None else None
        for i, score in enumerate(guide):
            if self.ended(i) or score != score:
                continue
            snapshot = Snapshot(
                update=rendering.update,
                pixels=rendering.pixels[i].cpu(),
                latents=(
                    None if rendering.latents is None else rendering.latents[:, i].cpu()
                ),
                guide=score,
                judge=judge[i] if judge else None,
                verdict=rendering.verdicts[i] if rendering.verdicts else None,
                calls=rendering.calls,
            )
            best = self.best[i]
            self.first[i] = self.first[i] or snapshot
            self.last[i] = snapshot
            if best is None or self.selector == "last" or score > best.guide:
                self.best[i] = snapshot
        return rendering

    def state_dict(self) -> dict[str, Any]:
        """Return the record as plain values and tensors, for `load_state_dict`."""
        shots = {name: getattr(self, name) for name in ("first", "best", "last")}
        return {
            "reasons": list(self.reasons),
            "failures": list(self.failures),
            **{k: [shot and dict(vars(shot)) for shot in v] for k, v in shots.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the record of the same generations that `state_dict` returned."""
        self.reasons, self.failures = list(state["reasons"]), list(state["failures"])
        for name in ("first", "best", "last"):
            shots = [shot and Snapshot(**shot) for shot in state[name]]
            setattr(self, name, shots)

    def ended(self, index: int) -> bool:
        """Return whether a generation has stopped early or failed."""
        return bool(self.reasons[index] or self.failures[index])

    def fail(self, index: int, reason: str) -> None:
        """Record that a generation has failed, unless it has already ended."""
        if not self.ended(index):
            self.failures[index] = reason

    def stop(self, index: int, reason: str) -> None:
        """End a generation early, unless it has already ended."""
        if not self.ended(index):
            self.reasons[index] = reason

    def fail_non_finite(self, values: Tensor, name: str) -> None:
        """Record generations as failed whose value is NaN or infinite.

        Args:
            values: (B,) one value for each generation.
            name: the quantity, for the reason: "NAME is not finite".
        """
        for i, finite in enumerate(values.isfinite().tolist()):
            if not finite:
                self.fail(i, f"{name} is not finite")

    @contextmanager
    def surviving_out_of_memory(self, lighter_adjoint: str | None) -> Iterator[None]:
        """Catch an out-of-memory error and record all generations as failed.

        Args:
            lighter_adjoint: name of an adjoint that needs less memory, which the
                recorded reason suggests; None if there is none.
        """
        try:
            yield
        except StopIteration as error:  # Lightning takes it for the end of the data
            frame = user_frame(error)
            place = f" in {frame.filename}, line {frame.lineno}" if frame else ""
            raise ValueError(
                "Expected no StopIteration from a guide, a judge or a filter, received "
                f"one{place}; call next() with a default value."
            ) from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            half = len(self) // 2
            smaller = f"data.batch_size {half}" if half else "smaller images"
            adjoint = f" or the adjoint {lighter_adjoint}" if lighter_adjoint else ""
            for i in range(len(self)):
                self.fail(
                    i,
                    f"out of memory; try {smaller}{adjoint}, and --dry-run to see what "
                    "they need",
                )

    def seen(self, index: int, rendering: Rendering) -> bool:
        """Return whether a rendering is the last one in a generation's record."""
        last = self.last[index]
        return last is not None and last.update == rendering.update

    def active(self) -> Tensor:
        """Return which generations are still being optimised, (B,) bool."""
        return torch.tensor([not self.ended(i) for i in range(len(self))])


def warn_of_gap(gap: Tensor, mixing: float, num_steps: int) -> bool:
    """Warn if the two latents of any pair have drifted apart.

    Args:
        gap: (B,) mean distance of the final latents, in their standard deviations.
        mixing: EDICT's mixing coefficient p.
        num_steps: number of denoising steps T.

    Returns:
        whether a warning was given.
    """
    widest = gap.max().item()
    if not widest > CORRUPT_GAP:  # nor if it is NaN, which fails the generation
        return False
    warnings.warn(
        f"The two latents of a pair end {widest:.2f} standard deviations apart, which "
        f"corrupts the image: mixing p = {mixing:g} is too high for num_steps "
        f"{num_steps}; choose a smaller p, which mixes more, or take more steps.",
        stacklevel=2,
    )
    return True
