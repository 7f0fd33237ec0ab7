"""Flow-matching transformers: Stable Diffusion 3 and FLUX."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from doodl.pretrained.text_to_image import Shape, TextToImage
from doodl.sampling.schedule import FlowSchedule


class Flow(TextToImage):
    """A transformer that predicts the velocity from picture to noise."""

    @property
    @override
    def denoiser(self) -> Any:
        return self.pipeline.transformer

    @override
    def schedule(self, shape: Shape) -> FlowSchedule:
        def sigmas(num_steps: int) -> list[float]:
            scheduler = type(self.pipeline.scheduler).from_config(
                self.pipeline.scheduler.config
            )
            settings = self._sigmas(num_steps)
            if scheduler.config.use_dynamic_shifting:
                settings["mu"] = _shift(scheduler.config, self._tokens(shape))
            scheduler.set_timesteps(num_steps, **settings)
            return scheduler.sigmas.double().tolist()

        return FlowSchedule(sigmas)

    @override
    def few_steps(self, num_steps: int) -> bool:
        return num_steps <= 4

    def _sigmas(self, num_steps: int) -> dict[str, Any]:  # noqa: ARG002
        """Return what the pipeline asks its scheduler for."""
        return {}

    def _tokens(self, shape: Shape) -> int:
        """Return how many tokens a latent is."""
        return (shape[1] // 2) * (shape[2] // 2)


class StableDiffusion3(Flow):
    """Stable Diffusion 3 and 3.5."""

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
        )
        return (
            {"encoder_hidden_states": texts, "pooled_projections": pooled},
            {"encoder_hidden_states": no_texts, "pooled_projections": no_pooled},
        )

    @override
    def native(self) -> tuple[int, int, int]:
        config = self.denoiser.config
        return config.in_channels, config.sample_size, config.patch_size


class Flux(Flow):
    """FLUX.1: latents packed two by two, and a guidance scale that it is told."""

    embeds_guidance = True

    @override
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        count, channels, rows, columns = z.shape
        text = conditioning["encoder_hidden_states"]
        packed = self.pipeline._pack_latents(z, count, channels, rows, columns)  # noqa: SLF001
        prediction = self.denoiser(
            hidden_states=packed,
            timestep=(timestep / 1000).to(z.dtype),
            txt_ids=torch.zeros(text.shape[1], 3, device=z.device, dtype=z.dtype),
            img_ids=self.pipeline._prepare_latent_image_ids(  # noqa: SLF001
                count, rows // 2, columns // 2, z.device, z.dtype
            ),
            return_dict=False,
            **conditioning,
        )[0]
        return self.pipeline._unpack_latents(  # noqa: SLF001
            prediction, rows * self.factor, columns * self.factor, self.factor
        )

    @override
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        if any(negative_prompts):
            raise ValueError(
                "Expected no negative prompt for FLUX, which makes no prediction "
                f"without the prompt, received '{max(negative_prompts)}'; leave it out."
            )
        texts, pooled, _ = self.pipeline.encode_prompt(
            prompts,
            None,
            device=self.device,
            num_images_per_prompt=1,
            max_sequence_length=self._limit(),
        )
        return {"encoder_hidden_states": texts, "pooled_projections": pooled}, None

    @override
    def told(self, shape: Shape, scale: float) -> dict[str, Tensor]:
        if not self.denoiser.config.guidance_embeds:
            return {}
        return {"guidance": torch.tensor([scale])}

    @override
    def native(self) -> tuple[int, int, int]:
        channels = self.denoiser.config.in_channels // 4
        return channels, self.pipeline.default_sample_size, 2

    @override
    def _sigmas(self, num_steps: int) -> dict[str, Any]:
        # As the pipeline does: even steps from 1, the last one a whole step above 0.
        return {"sigmas": torch.linspace(1.0, 1 / num_steps, num_steps).tolist()}

    def _limit(self) -> int:
        return min(512, self.pipeline.tokenizer_2.model_max_length)


def _shift(config: Any, tokens: int) -> float:
    """Return diffusers' mu: a larger picture has its steps at higher noise."""
    low, high = config.base_image_seq_len, config.max_image_seq_len
    slope = (config.max_shift - config.base_shift) / (high - low)
    return config.base_shift + slope * (tokens - low)
