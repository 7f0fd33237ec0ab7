"""The record of a batch of generations: its first, best and last image, and ends."""

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

CORRUPT_GAP = 0.25
"""A mean distance of the final latents, in standard deviations, that is visible."""
Selector = Literal["guide", "last"]
"""What makes an image the best one: the guide's score, or being the last."""


@dataclass
class Rendering:
    """The images of one update, detached, and how they are scored.

    Args:
        update: number of updates that the latents have had.
        latents: (k, B, C, h, w), the initial latents that make the pictures; None where
            none do, as where a baseline has steered every step.
        pixels: (B, 3, H, W) in [0, 1], the image of the first latent.
        gap: (B,) mean distance of the two final latents, relative to their spread.
        guide: (B,) score of the full image by the guide, higher is better.
        judge: (B,) score of the full image by the held-out judge, or None.
        verdicts: whether each image is what was asked for; None where nobody knows.
    """

    update: int
    latents: Tensor | None
    pixels: Tensor
    gap: Tensor
    guide: Tensor
    judge: Tensor | None = None
    verdicts: list[bool | None] = field(default_factory=list)


@dataclass(frozen=True)
class Snapshot:
    """One generation's image at one update, on the CPU.

    Args:
        update: how many updates its latents have had.
        pixels: (3, H, W) in [0, 1].
        latents: (k, C, h, w), the initial latents that make it: a pair, or one of DDIM;
            None where none do.
        guide: its score; higher is better.
        judge: likewise, None without a judge.
        verdict: whether it shows what was asked for, None where unknown.
    """

    update: int
    pixels: Tensor
    latents: Tensor | None
    guide: float
    judge: float | None
    verdict: bool | None

    @property
    def image(self) -> Image.Image:
        """The picture as an 8-bit RGB image of Pillow."""
        return images.to_pil(self.pixels)


class Trajectory:
    """The first, the best and the last image of each generation in a batch.

    The best is chosen by the guide on the full image; the judge only reports on it.
    A generation that has ended keeps its record from then on.

    Args:
        generations: the batch.
        selector: what makes an image the best: the `guide`'s score, or being the
            `last`.
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

    def record(self, rendering: Rendering) -> None:
        """Take in a rendering; images that are not finite are left out."""
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
            )
            best = self.best[i]
            self.first[i] = self.first[i] or snapshot
            self.last[i] = snapshot
            if best is None or self.selector == "last" or score > best.guide:
                self.best[i] = snapshot

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs, as plain values and tensors."""
        shots = {name: getattr(self, name) for name in ("first", "best", "last")}
        return {
            "reasons": list(self.reasons),
            "failures": list(self.failures),
            **{k: [shot and dict(vars(shot)) for shot in v] for k, v in shots.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a record of the same generations."""
        self.reasons, self.failures = list(state["reasons"]), list(state["failures"])
        for name in ("first", "best", "last"):
            shots = [shot and Snapshot(**shot) for shot in state[name]]
            setattr(self, name, shots)

    def ended(self, index: int) -> bool:
        """Return whether a generation has stopped early or failed."""
        return bool(self.reasons[index] or self.failures[index])

    def fail(self, index: int, reason: str) -> None:
        """Record that a generation has failed, unless it has ended before."""
        if not self.ended(index):
            self.failures[index] = reason

    def stop(self, index: int, reason: str) -> None:
        """End a generation early, unless it has ended before."""
        if not self.ended(index):
            self.reasons[index] = reason

    def fail_non_finite(self, values: Tensor, name: str) -> None:
        """Record generations whose value (B,) is NaN or infinite as failed."""
        for i, finite in enumerate(values.isfinite().tolist()):
            if not finite:
                self.fail(i, f"{name} is not finite")

    @contextmanager
    def surviving_out_of_memory(self, lighter_adjoint: str | None) -> Iterator[None]:
        """Record all generations as failed when memory runs out, and go on.

        Args:
            lighter_adjoint: an adjoint that would need less memory, if there is one.
        """
        try:
            yield
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
        """Return whether a rendering is part of a generation's record."""
        last = self.last[index]
        return last is not None and last.update == rendering.update

    def active(self) -> Tensor:
        """Return which generations are still being optimised, (B,) bool."""
        return torch.tensor([not self.ended(i) for i in range(len(self))])


def warn_of_gap(gap: Tensor, mixing: float, num_steps: int) -> bool:
    """Warn where the two latents of a pair have drifted apart.

    Args:
        gap: (B,) mean distance of the final latents, in their standard deviations.
        mixing: EDICT's p.
        num_steps: T.

    Returns:
        whether there was a warning.
    """
    widest = gap.max().item()
    if widest <= CORRUPT_GAP:
        return False
    warnings.warn(
        f"The two latents of a pair end {widest:.2f} standard deviations apart, which "
        f"corrupts the image: mixing p = {mixing:g} is too high for num_steps "
        f"{num_steps}; choose a smaller p, which mixes more, or take more steps.",
        stacklevel=2,
    )
    return True
