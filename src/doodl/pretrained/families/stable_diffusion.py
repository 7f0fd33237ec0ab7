"""Stable Diffusion 1.x and 2.x, and models distilled from them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from doodl.pretrained.text_to_image import LatentShape, TextToImage
from doodl.sampling.schedule import Schedule


class StableDiffusion(TextToImage):
    """Stable Diffusion 1.x and 2.x, SD Turbo, and latent consistency models.

    References:
        Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models,
        CVPR 2022, arXiv 2112.10752; Luo et al., Latent Consistency Models, arXiv
        2310.04378.
    """

    @property
    @override
    def denoiser(self) -> Any:
        return self.pipeline.unet

    @property
    def embeds_guidance(self) -> bool:  # type: ignore[override]
        """Whether the scale is an input of the U-Net: in latent consistency models."""
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
    def extra_conditioning(
        self, shape: LatentShape, guidance_scale: float
    ) -> dict[str, Tensor]:
        if not self.embeds_guidance:
            return {}
        width = self.denoiser.config.time_cond_proj_dim
        embedding = self.pipeline.get_guidance_scale_embedding(
            torch.tensor([guidance_scale - 1]), embedding_dim=width
        )
        return {"timestep_cond": embedding}

    @override
    def native(self) -> tuple[int, int, int]:
        # The U-Net halves the latent's sides between its levels.
        halvings = len(self.denoiser.config.block_out_channels) - 1
        config = self.denoiser.config
        return config.in_channels, config.sample_size, 2**halvings

    @override
    def schedule(self, shape: LatentShape) -> Schedule:
        return Schedule.from_config(self.pipeline.scheduler.config)

    @override
    def few_steps(self, num_steps: int) -> bool:
        config = self.pipeline.scheduler.config
        if "LCM" in config.get("_class_name", "") or self.embeds_guidance:
            return True
        # Turbo models ship an Euler scheduler that begins at the last timestep.
        return num_steps <= 4 and config.get("timestep_spacing") == "trailing"
