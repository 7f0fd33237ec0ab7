"""FLUX.2 and FLUX.2 klein."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from doodl.pretrained.families.flow import EvenFlow
from doodl.pretrained.families.texts import chat_tokens, without_data
from doodl.pretrained.text_to_image import LatentShape

TOKENS = 512
"""Tokens that the text encoder reads, the default of diffusers' pipelines."""


class Flux2(EvenFlow):
    """FLUX.2: a latent is 2 x 2 places of the VAE's, normalised as by a batch norm.

    Each of its 4 C channels has the mean and the standard deviation that the VAE's
    batch norm has stored, so that the chain's noise has the variance of its latents.
    FLUX.2 takes the guidance scale as an input, klein's base model has classifier-free
    guidance, and the distilled klein has none.

    References:
        Black Forest Labs, FLUX.2, https://github.com/black-forest-labs/flux2.
    """

    @property
    def embeds_guidance(self) -> bool:  # type: ignore[override]
        """Whether there is no unconditional prediction: in all but klein's base."""
        return self.pipeline.config.get("is_distilled", True)

    @property
    def _reads_guidance(self) -> bool:
        return self.denoiser.config.get("guidance_embeds", True)

    @property
    @override
    def factor(self) -> int:
        return 2 * self.pipeline.vae_scale_factor

    @override
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        _, _, rows, columns = z.shape
        length = conditioning["encoder_hidden_states"].shape[1]
        prediction = self.denoiser(
            hidden_states=z.flatten(2).mT,
            timestep=(timestep / 1000).to(z.dtype),
            txt_ids=_positions(1, 1, length, z.device),
            img_ids=_positions(rows, columns, 1, z.device),
            return_dict=False,
            **conditioning,
        )[0]
        return prediction.mT.unflatten(2, (rows, columns))

    @override
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        if self.embeds_guidance and any(negative_prompts):
            raise ValueError(
                "Expected no negative prompt for this FLUX.2, which makes no "
                f"unconditional prediction, received '{max(negative_prompts)}'; leave "
                "it out."
            )
        positive = self._encode(prompts)
        return positive, None if self.embeds_guidance else self._encode(
            negative_prompts
        )

    def _encode(self, texts: list[str]) -> dict[str, Tensor]:
        if self.device.type == "meta":
            width = self.denoiser.config.joint_attention_dim
            encoded = torch.stack(without_data(len(texts), TOKENS, width))
        else:
            encoded, _ = self.pipeline.encode_prompt(texts, self.device)
        return {"encoder_hidden_states": encoded}

    @override
    def extra_conditioning(
        self, shape: LatentShape, guidance_scale: float
    ) -> dict[str, Tensor]:
        if not self._reads_guidance:
            return {}
        return {"guidance": torch.tensor([guidance_scale])}

    @override
    def native(self) -> tuple[int, int, int]:
        side = self.pipeline.default_sample_size // 2
        return self.denoiser.config.in_channels, side, 1

    @override
    def few_steps(self, num_steps: int) -> bool:
        distilled = self.embeds_guidance and not self._reads_guidance
        return distilled or super().few_steps(num_steps)

    @override
    def _mu(self, shape: LatentShape, num_steps: int) -> float:
        from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu

        return compute_empirical_mu(shape[1] * shape[2], num_steps)

    @override
    def token_limit(self, encoder: str, tokenizer: Any) -> int:
        conversation = None
        if hasattr(self.pipeline, "system_message"):
            from diffusers.pipelines.flux2.pipeline_flux2 import format_input

            conversation = format_input(["PROMPT"], self.pipeline.system_message)[0]
        return TOKENS - chat_tokens(self.pipeline.tokenizer, conversation)

    @override
    def scale(self, raw: Tensor) -> Tensor:
        mean, std = self._statistics(raw)
        return (self.pipeline._patchify_latents(raw) - mean) / std

    @override
    def unscale(self, latents: Tensor) -> Tensor:
        mean, std = self._statistics(latents)
        return self.pipeline._unpatchify_latents(latents * std + mean)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and std (4 C, 1, 1) of the VAE's batch norm."""
        norm = self.vae.bn
        std = (norm.running_var + self.vae.config.batch_norm_eps).sqrt()
        mean, std = (s.to(like)[:, None, None] for s in (norm.running_mean, std))
        return mean, std


def _positions(rows: int, columns: int, layers: int, device: torch.device) -> Tensor:
    """Return the positions (N, 4) of tokens: frame, row, column, and layer."""
    axes = [torch.arange(n, device=device) for n in (1, rows, columns, layers)]
    return torch.cartesian_prod(*axes)
