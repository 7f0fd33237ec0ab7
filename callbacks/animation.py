"""Writes the pictures of all updates of a generation as one animated file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Trainer
from PIL import Image
from torch import Tensor
from typing_extensions import override

from doodl.callbacks.base import GenerationCallback
from doodl.callbacks.results import Results
from doodl.files import write
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.trajectory import Rendering, Trajectory


class Animation(GenerationCallback):
    """Saves `trajectory.png`, an animated PNG, in each generation's results folder.

    The callback is off by default; `--trainer.callbacks+=doodl.callbacks.Animation`
    adds it. It needs the callback `Results`, whose folder it uses.

    Args:
        milliseconds: how long each update is shown.
    """

    changes_images = False

    def __init__(self, milliseconds: int = 200) -> None:
        if not 1 <= milliseconds <= 60_000:
            raise ValueError(
                f"Expected milliseconds from 1 to 60000, received {milliseconds}."
            )
        self.milliseconds = milliseconds
        self.frames: list[Tensor] = []

    @override
    def check(self, trainer: Trainer, module: GuidedGeneration) -> None:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        folders = [c.folder for c in callbacks if isinstance(c, Results)]
        if not folders:
            raise ValueError(
                "Expected the callback Results, beside whose files Animation writes, "
                "received none; add it to the trainer's callbacks."
            )
        self.folder = folders[0]

    @override
    def on_generations_start(self, batch: Sequence[Generation]) -> None:
        self.frames = []

    @override
    def on_rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        pixels = rendering.pixels.nan_to_num()
        self.frames.append((pixels * 255).round().to("cpu", torch.uint8))

    @override
    def on_generations_end(self, trajectory: Trajectory) -> None:
        for i, generation in enumerate(trajectory.generations):
            last = trajectory.last[i]
            frames = [
                frame[i] for frame in self.frames[: last.update + 1 if last else 0]
            ]
            if frames:
                folder = self.folder / generation.id
                folder.mkdir(parents=True, exist_ok=True)
                write(folder / "trajectory.png", animate(frames, self.milliseconds))

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"frames": list(self.frames)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.frames = list(state_dict["frames"])


def animate(frames: list[Tensor], milliseconds: int) -> bytes:
    """Return the bytes of an animated PNG that repeats for ever.

    Args:
        frames: at least one picture (3, H, W), uint8.
        milliseconds: how long each frame is shown.
    """
    pictures = [Image.fromarray(f.permute(1, 2, 0).numpy()) for f in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format="PNG",
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
        # Pillow would merge equal neighbours, and number the frames after them less.
        blend=[number % 2 for number in range(len(pictures))],
    )
    return buffer.getvalue()
