"""Blackens pictures that Stable Diffusion's safety checker flags."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import torch
from lightning import Trainer
from safetensors import SafetensorError
from torch import Tensor
from typing_extensions import override

from doodl.callbacks.base import GenerationCallback
from doodl.guided_generation import GuidedGeneration
from doodl.pretrained.missing import complete, reason
from doodl.trajectory import Rendering


class SafetyChecker(GenerationCallback):
    """Replaces pictures that the checker flags as unsafe with black ones.

    Only the pictures that are written and shown change; the optimisation does not. The
    checker runs before any picture is written, independent of the order of callbacks.
    If it cannot be loaded or fails, nothing is written. The latents are saved in any
    case, and the unfiltered picture can be sampled from them.

    Args:
        pretrained: folder or hub id of the checker.
    """

    def __init__(
        self, pretrained: str = "CompVis/stable-diffusion-safety-checker"
    ) -> None:
        self.pretrained = pretrained

    @override
    def setup(self, trainer: Trainer, pl_module: GuidedGeneration, stage: str) -> None:
        from diffusers.pipelines.stable_diffusion.safety_checker import (
            StableDiffusionSafetyChecker,
        )
        from transformers import CLIPImageProcessor

        read = partial(
            StableDiffusionSafetyChecker.from_pretrained,
            self.pretrained,
            use_safetensors=True,
        )
        try:
            checker = complete(read)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise ValueError(
                f"Expected a safety checker's folder or hub id, received "
                f"'{self.pretrained}': {reason(error)}"
            ) from error
        self.checker: Any = checker.eval().to(trainer.strategy.root_device)
        side = checker.config.vision_config.image_size
        self.processor = CLIPImageProcessor(
            size={"shortest_edge": side},
            crop_size={"height": side, "width": side},
            do_rescale=False,
        )

    @override
    def filter(self, rendering: Rendering) -> Rendering:
        unsafe = self._unsafe([p.cpu() for p in rendering.pixels.nan_to_num()])
        keep = torch.tensor(unsafe, device=rendering.pixels.device).logical_not()
        # `where` instead of a product, which would keep NaN and infinity.
        black = torch.zeros_like(rendering.pixels)
        pixels = torch.where(keep[:, None, None, None], rendering.pixels, black)
        return dataclasses.replace(rendering, pixels=pixels)

    def _unsafe(self, pictures: list[Tensor]) -> list[bool]:
        """Return for each of the pictures (3, H, W) in [0, 1] whether it is unsafe."""
        if not pictures:
            return []
        inputs = self.processor(list(pictures), return_tensors="pt").pixel_values
        return self.checker(inputs.to(self.checker.device), list(pictures))[1]
