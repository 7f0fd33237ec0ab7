"""Stable Diffusion with a U-Net: 1.x, 2.x, XL, and what was distilled from them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from doodl.pretrained.text_to_image import Shape, TextToImage
from doodl.sampling.schedule import Schedule


class StableDiffusion(TextToImage):
    """Stable Diffusion 1.x and 2.x, and latent consistency models."""

    @property
    @override
    def denoiser(self) -> Any:
        return self.pipeline.unet

    @property
    def embeds_guidance(self) -> bool:  # type: ignore[override]
        """Whether the U-Net is told the scale, as latent consistency models are."""
        return self.denoiser.config.time_cond_proj_dim is not None

    @override
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        return self.denoiser(z, timestep, return_dict=False, **conditioning)[0]

    @override
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        encoded = self.pipeline.encode_prompt(
            prompts, self.device, 1, True, negative_prompt=negative_prompts
        )
        positive, negative = ({"encoder_hidden_states": text} for text in encoded)
        return positive, negative

    @override
    def told(self, shape: Shape, scale: float) -> dict[str, Tensor]:
        if not self.embeds_guidance:
            return {}
        width = self.denoiser.config.time_cond_proj_dim
        embedding = self.pipeline.get_guidance_scale_embedding(
            torch.tensor([scale - 1]), embedding_dim=width
        )
        return {"timestep_cond": embedding}

    @override
    def native(self) -> tuple[int, int, int]:
        # The U-Net halves the latent's sides between its levels.
        halvings = len(self.denoiser.config.block_out_channels) - 1
        config = self.denoiser.config
        return config.in_channels, config.sample_size, 2**halvings

    @override
    def schedule(self, shape: Shape) -> Schedule:
        return Schedule.from_config(self.pipeline.scheduler.config)

    @override
    def few_steps(self, num_steps: int) -> bool:
        config = self.pipeline.scheduler.config
        if "LCM" in config.get("_class_name", "") or self.embeds_guidance:
            return True
        # Turbo models ship an Euler scheduler that begins at the last timestep.
        return num_steps <= 4 and config.get("timestep_spacing") == "trailing"


class StableDiffusionXL(StableDiffusion):
    """Stable Diffusion XL: two text encoders, and the size of the picture."""

    @override
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        added = {name: conditioning.pop(name) for name in ("text_embeds", "time_ids")}
        return self.denoiser(
            z, timestep, added_cond_kwargs=added, return_dict=False, **conditioning
        )[0]

    @override
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        texts, no_texts, pooled, no_pooled = self.pipeline.encode_prompt(
            prompts,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
            negative_prompt=negative_prompts,
        )
        if self.pipeline.config.force_zeros_for_empty_prompt:
            # What the pipeline does where no negative prompt is given.
            empty = torch.tensor([not p for p in negative_prompts], device=self.device)
            no_texts = no_texts.masked_fill(empty[:, None, None], 0)
            no_pooled = no_pooled.masked_fill(empty[:, None], 0)
        return (
            {"encoder_hidden_states": texts, "text_embeds": pooled},
            {"encoder_hidden_states": no_texts, "text_embeds": no_pooled},
        )

    @override
    def told(self, shape: Shape, scale: float) -> dict[str, Tensor]:
        height, width = (side * self.factor for side in shape[1:])
        # Original size, the crop's corner, the size to be made.
        sizes = torch.tensor([[height, width, 0, 0, height, width]])
        return {"time_ids": sizes.float(), **super().told(shape, scale)}
