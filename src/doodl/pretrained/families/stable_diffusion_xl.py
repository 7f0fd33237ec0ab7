"""Stable Diffusion XL."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from doodl.pretrained.families.stable_diffusion import StableDiffusion
from doodl.pretrained.text_to_image import LatentShape


class StableDiffusionXL(StableDiffusion):
    """Stable Diffusion XL: two text encoders, and the image's size as an input.

    References:
        Podell et al., SDXL: Improving Latent Diffusion Models for High-Resolution Image
        Synthesis, arXiv 2307.01952.
    """

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
            # The pipeline does the same where it is given no negative prompt.
            empty = torch.tensor([not p for p in negative_prompts], device=self.device)
            no_texts = no_texts.masked_fill(empty[:, None, None], 0)
            no_pooled = no_pooled.masked_fill(empty[:, None], 0)
        return (
            {"encoder_hidden_states": texts, "text_embeds": pooled},
            {"encoder_hidden_states": no_texts, "text_embeds": no_pooled},
        )

    @override
    def extra_conditioning(
        self, shape: LatentShape, guidance_scale: float
    ) -> dict[str, Tensor]:
        height, width = (side * self.factor for side in shape[1:])
        # Size before cropping, top left corner of the crop, size of the image.
        sizes = torch.tensor([[height, width, 0, 0, height, width]])
        more = super().extra_conditioning(shape, guidance_scale)
        return {"time_ids": sizes.float(), **more}
