"""FLUX.1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from doodl.pretrained.families.flow import EvenFlow
from doodl.pretrained.text_to_image import LatentShape

T5_TOKENS = 512
"""Tokens that T5 reads of a prompt, the default of diffusers' pipeline."""


class Flux(EvenFlow):
    """FLUX.1: CLIP and T5, latents packed 2 x 2, and the guidance scale as an input.

    References:
        Black Forest Labs, FLUX.1, https://github.com/black-forest-labs/flux.
    """

    embeds_guidance = True

    @override
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        count, channels, rows, columns = z.shape
        text = conditioning["encoder_hidden_states"]
        packed = self.pipeline._pack_latents(z, count, channels, rows, columns)
        prediction = self.denoiser(
            hidden_states=packed,
            timestep=(timestep / 1000).to(z.dtype),
            txt_ids=torch.zeros(text.shape[1], 3, device=z.device, dtype=z.dtype),
            img_ids=_positions(rows // 2, columns // 2, z),
            return_dict=False,
            **conditioning,
        )[0]
        return self.pipeline._unpack_latents(
            prediction, rows * self.factor, columns * self.factor, self.factor
        )

    @override
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        if any(negative_prompts):
            raise ValueError(
                "Expected no negative prompt for FLUX, which makes no unconditional "
                f"prediction, received '{max(negative_prompts)}'; leave it out."
            )
        texts, pooled, _ = self.pipeline.encode_prompt(
            prompts,
            None,
            device=self.device,
            num_images_per_prompt=1,
            max_sequence_length=self.token_limit(
                "text_encoder_2", self.pipeline.tokenizer_2
            ),
        )
        return {"encoder_hidden_states": texts, "pooled_projections": pooled}, None

    @override
    def extra_conditioning(
        self, shape: LatentShape, guidance_scale: float
    ) -> dict[str, Tensor]:
        if not self.denoiser.config.guidance_embeds:
            return {}
        return {"guidance": torch.tensor([guidance_scale])}

    @override
    def native(self) -> tuple[int, int, int]:
        channels = self.denoiser.config.in_channels // 4
        return channels, self.pipeline.default_sample_size, 2

    @override
    def token_limit(self, encoder: str, tokenizer: Any) -> int:
        limit = super().token_limit(encoder, tokenizer)
        return min(T5_TOKENS, limit) if encoder == "text_encoder_2" else limit


def _positions(rows: int, columns: int, z: Tensor) -> Tensor:
    """Return the positions (rows x columns, 3) of latents, on the device of z."""
    row = torch.arange(rows, device=z.device, dtype=z.dtype)
    column = torch.arange(columns, device=z.device, dtype=z.dtype)
    return torch.cartesian_prod(
        torch.zeros(1, device=z.device, dtype=z.dtype), row, column
    )
