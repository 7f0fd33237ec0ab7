"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from typing_extensions import override

from doodl.pretrained.families.flow import Flow

T5_TOKENS = 256
"""Tokens that T5 reads of a prompt, the default of diffusers' pipeline."""


class StableDiffusion3(Flow):
    """Stable Diffusion 3 and 3.5: two CLIP text encoders and, if it is loaded, T5.

    References:
        Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image
        Synthesis, arXiv 2403.03206.
    """

    @override
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        return self.denoiser(
            hidden_states=z, timestep=timestep, return_dict=False, **conditioning
        )[0]

    @override
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        texts, no_texts, pooled, no_pooled = self.pipeline.encode_prompt(
            prompts,
            None,
            None,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
            negative_prompt=negative_prompts,
            max_sequence_length=T5_TOKENS,
        )
        return (
            {"encoder_hidden_states": texts, "pooled_projections": pooled},
            {"encoder_hidden_states": no_texts, "pooled_projections": no_pooled},
        )

    @override
    def native(self) -> tuple[int, int, int]:
        config = self.denoiser.config
        return config.in_channels, config.sample_size, config.patch_size

    @override
    def token_limit(self, encoder: str, tokenizer: Any) -> int:
        if encoder == "text_encoder_3":
            return T5_TOKENS
        return super().token_limit(encoder, tokenizer)
