"""Sana and SANA-1.5."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor
from typing_extensions import override

from doodl.pretrained.families.flow import Flow

TOKENS = 300
"""Tokens that the denoiser reads of a prompt, the default of diffusers' pipeline."""


class Sana(Flow):
    """Sana: a deep autoencoder, whose images are 32 times as large as their latents.

    The pipeline ships a DPM solver; the chain is Euler's method at its noise levels.

    References:
        Xie et al., SANA: Efficient High-Resolution Image Synthesis with Linear
        Diffusion Transformers, ICLR 2025, arXiv 2410.10629.
    """

    @override
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        if self.pipeline.scheduler.config.get("use_flow_sigmas"):
            # A DPM solver cuts timesteps to integers; here they may lie just below.
            timestep = (timestep + 1e-3).floor()
        prediction = self.denoiser(
            z,
            timestep=timestep * self.denoiser.config.timestep_scale,
            return_dict=False,
            **conditioning,
        )[0]
        return prediction[:, : z.shape[1]]  # what may follow is a learned variance

    @override
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        call = inspect.signature(self.pipeline.__call__).parameters
        texts, mask, no_texts, no_mask = self.pipeline.encode_prompt(
            prompts,
            negative_prompt=negative_prompts,
            device=self.device,
            max_sequence_length=TOKENS,
            complex_human_instruction=call["complex_human_instruction"].default,
        )
        positive, negative = (
            {"encoder_hidden_states": text, "encoder_attention_mask": read.to(text)}
            for text, read in ((texts, mask), (no_texts, no_mask))
        )
        return positive, negative

    @override
    def native(self) -> tuple[int, int, int]:
        config = self.denoiser.config
        return config.in_channels, config.sample_size, config.patch_size

    @override
    def token_limit(self, encoder: str, tokenizer: Any) -> int:
        return TOKENS - 1  # the prompt follows an instruction
