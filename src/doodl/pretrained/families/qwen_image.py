"""Qwen-Image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from doodl.pretrained.families.flow import EvenFlow
from doodl.pretrained.families.texts import halves, pad, without_data
from doodl.sampling.denoiser import classifier_free

TOKENS = 512
"""Tokens that the denoiser reads of a prompt, the default of diffusers' pipeline."""


class QwenImage(EvenFlow):
    """Qwen-Image: latents packed 2 x 2, scaled by a mean and a std of each channel.

    The VAE is that of a video model; an image is one frame of it.

    References:
        Wu et al., Qwen-Image Technical Report, arXiv 2508.02324.
    """

    @override
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        count, channels, rows, columns = z.shape
        prediction = self.denoiser(
            hidden_states=self.pipeline._pack_latents(z, *z.shape),
            timestep=(timestep / 1000).to(z.dtype),
            img_shapes=[[(1, rows // 2, columns // 2)]] * count,
            return_dict=False,
            **conditioning,
        )[0]
        return self.pipeline._unpack_latents(
            prediction, rows * self.factor, columns * self.factor, self.factor
        )[:, :, 0]

    @override
    def combine(self, f_u: Tensor, f_c: Tensor, w: float) -> Tensor:
        """Return the usual combination, rescaled so that tokens keep the norm of f_c.

        A token is the channels of 2 x 2 places.
        """
        guided = _tokens(classifier_free(f_u, f_c, w))
        scale = _norm(_tokens(f_c)) / _norm(guided)
        return (guided * scale).flatten(2, 3).flatten(3, 4)

    @override
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        if self.device.type == "meta":
            width = self.denoiser.config.joint_attention_dim
            joined, mask = pad(without_data(2 * len(prompts), TOKENS, width))
        else:
            joined, mask = self.pipeline.encode_prompt(
                prompts + negative_prompts, self.device, max_sequence_length=TOKENS
            )
        both = {"encoder_hidden_states": joined}
        if mask is not None:  # texts of different lengths
            both["encoder_hidden_states_mask"] = mask.to(joined.dtype)
        return halves(both)

    @override
    def native(self) -> tuple[int, int, int]:
        channels = self.denoiser.config.in_channels // 4
        return channels, self.pipeline.default_sample_size, 2

    @override
    def token_limit(self, encoder: str, tokenizer: Any) -> int:
        return TOKENS  # the pipeline adds its own text, and cuts it off again

    @override
    def scale(self, raw: Tensor) -> Tensor:
        mean, std = self._statistics(raw)
        return (raw - mean) / std

    @override
    def unscale(self, latents: Tensor) -> Tensor:
        mean, std = self._statistics(latents)
        return latents * std + mean

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and std (C, 1, 1) of the VAE's channels."""
        config = self.vae.config
        mean, std = (
            torch.tensor(values, device=like.device, dtype=like.dtype)[:, None, None]
            for values in (config.latents_mean, config.latents_std)
        )
        return mean, std

    @override
    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        frames = images.to(self.vae.dtype).unsqueeze(2)
        mean = self.vae.encode(frames).latent_dist.mean.squeeze(2)
        return self.scale(mean.to(images.dtype))

    @override
    def decode(self, latents: Tensor) -> Tensor:
        frames = self.unscale(latents).to(self.vae.dtype).unsqueeze(2)
        images = self.vae.decode(frames, return_dict=False)[0]
        return images.squeeze(2).to(latents.dtype)


def _tokens(z: Tensor) -> Tensor:
    """Return a view (B, C, h / 2, 2, w / 2, 2)."""
    return z.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))


def _norm(tokens: Tensor) -> Tensor:
    return torch.linalg.vector_norm(tokens, dim=(1, 3, 5), keepdim=True)
