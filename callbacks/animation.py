"""Writes every update's picture of a generation as one animated file."""

from __future__ import annotations

import io
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor
from typing_extensions import override

from doodl.files import write
from doodl.guided_generation import GuidedGeneration


class Animation(Callback):
    """Saves `trajectory.png`, an animated PNG, beside a generation's other results.

    Not on by default: `--trainer.callbacks+=doodl.callbacks.Animation`. It needs
    `Results`, whose folder it writes to.

    Args:
        milliseconds: that each update is shown.
    """

    def __init__(self, milliseconds: int = 200) -> None:
        if milliseconds < 1:
            raise ValueError(
                f"Expected at least 1 of milliseconds, received {milliseconds}."
            )
        self.milliseconds = milliseconds
        self.frames: list[Tensor] = []

    @override
    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: GuidedGeneration
    ) -> None:
        self.frames = []

    @override
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: GuidedGeneration,
        outputs: object,
        batch: int,
        batch_idx: int,
    ) -> None:
        self._keep(pl_module)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        if pl_module.archive is None:
            raise RuntimeError("Animation writes beside Results; add that callback.")
        rendering = pl_module.rendering
        if rendering is not None and rendering.update == pl_module.num_updates:
            self._keep(pl_module)
        for i, generation in enumerate(pl_module.trajectory.generations):
            last = pl_module.trajectory.last[i]
            if last is not None:
                folder = pl_module.archive.folder / generation.id
                folder.mkdir(exist_ok=True)
                frames = [frame[i] for frame in self.frames[: last.update + 1]]
                write(folder / "trajectory.png", animate(frames, self.milliseconds))

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"frames": list(self.frames)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.frames = list(state_dict["frames"])

    def _keep(self, pl_module: GuidedGeneration) -> None:
        if pl_module.rendering is not None:
            pixels = pl_module.rendering.pixels.nan_to_num()
            self.frames.append((pixels * 255).round().to("cpu", torch.uint8))


def animate(frames: list[Tensor], milliseconds: int) -> bytes:
    """Return an animated PNG of bytes (3, H, W), shown in a loop.

    Args:
        frames: at least one.
        milliseconds: of each.
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
    )
    return buffer.getvalue()
