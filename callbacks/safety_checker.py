"""Blackens pictures that Stable Diffusion's own safety checker refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.trajectory import Trajectory


class SafetyChecker(Callback):
    """Blackens the pictures in which the checker finds what it knows as unsafe.

    Nothing of the optimisation changes, only what is written and shown, so it has to
    stand before the callbacks that do so, as those of `trainer.callbacks` do. The
    latents are saved all the same, and make the picture again.

    Args:
        pretrained: the checker's folder or hub id.
    """

    def __init__(
        self, pretrained: str = "CompVis/stable-diffusion-safety-checker"
    ) -> None:
        self.pretrained = pretrained
        self.refused: dict[tuple[int, int], bool] = {}

    @override
    def setup(self, trainer: Trainer, pl_module: GuidedGeneration, stage: str) -> None:
        from diffusers.pipelines.stable_diffusion.safety_checker import (
            StableDiffusionSafetyChecker,
        )
        from transformers import CLIPImageProcessor

        try:
            checker = StableDiffusionSafetyChecker.from_pretrained(self.pretrained)
        except OSError as error:
            raise ValueError(
                f"Expected a safety checker's folder or hub id, received "
                f"'{self.pretrained}': {str(error).splitlines()[0]}"
            ) from error
        self.checker: Any = checker.eval().to(trainer.strategy.root_device)
        side = checker.config.vision_config.image_size
        self.processor = CLIPImageProcessor(
            size={"shortest_edge": side},
            crop_size={"height": side, "width": side},
            do_rescale=False,
        )

    @override
    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: GuidedGeneration
    ) -> None:
        self.refused = {}

    @override
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: GuidedGeneration,
        outputs: object,
        batch: int,
        batch_idx: int,
    ) -> None:
        self._censor(pl_module, pl_module.trajectory)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: GuidedGeneration) -> None:
        self._censor(pl_module, pl_module.trajectory)

    @override
    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: GuidedGeneration,
        outputs: Trajectory,
        batch: list[Generation],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.refused = {}
        self._censor(pl_module, outputs)

    def _censor(self, module: GuidedGeneration, trajectory: Trajectory) -> None:
        rows = (trajectory.first, trajectory.best, trajectory.last)
        shots = {
            (i, shot.update): shot.pixels
            for row in rows
            for i, shot in enumerate(row)
            if shot is not None
        }
        new = [key for key in shots if key not in self.refused]
        self.refused |= zip(new, self._unsafe([shots[k] for k in new]), strict=True)
        for row in rows:
            for i, shot in enumerate(row):
                if shot is not None and self.refused[i, shot.update]:
                    black = torch.zeros_like(shot.pixels)
                    row[i] = dataclasses.replace(shot, pixels=black)
        rendering = module.rendering
        if rendering is not None:
            unsafe = [
                self.refused.get((i, rendering.update), False)
                for i in range(len(trajectory))
            ]
            keep = torch.tensor(unsafe, device=rendering.pixels.device).logical_not()
            rendering.pixels = rendering.pixels * keep[:, None, None, None]

    def _unsafe(self, pictures: list[Tensor]) -> list[bool]:
        """Return whether each of the pictures (3, H, W) in [0, 1] is refused."""
        if not pictures:
            return []
        inputs = self.processor(list(pictures), return_tensors="pt").pixel_values
        return self.checker(inputs.to(self.checker.device), list(pictures))[1]
