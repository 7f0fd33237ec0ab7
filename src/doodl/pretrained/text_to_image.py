"""The text-to-image model as the method uses it; each family is a subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from doodl.pretrained.texts import TextInput, longest, warn_of_cuts
from doodl.sampling.denoiser import Conditioning, classifier_free
from doodl.sampling.schedule import FlowSchedule, Schedule

LatentShape = tuple[int, int, int]
"""(C, h, w) of one latent."""
ENCODERS = {
    "text_encoder": "tokenizer",
    "text_encoder_2": "tokenizer_2",
    "text_encoder_3": "tokenizer_3",
}
"""Text encoders of a diffusers pipeline, and their tokenizers, by component name."""


class TextToImage(ABC):
    """A diffusers pipeline as the parts that the method uses.

    All networks are frozen and in eval mode. This is no `nn.Module`, so that a module
    that holds it does not register the networks' parameters. A subclass for a family
    defines how prompts become inputs of the denoiser, and the shape of a latent.

    Args:
        pipeline: a diffusers pipeline.
        device: device of the networks.

    Attributes:
        embeds_guidance: whether the guidance scale is an input of the denoiser, which
            then makes no unconditional prediction.
    """

    embeds_guidance: bool = False

    def __init__(self, pipeline: Any, device: torch.device | str = "cpu") -> None:
        self.pipeline = pipeline.to(device)
        self.vae: Any = pipeline.vae
        upcast = pipeline.vae.config.get("force_upcast")
        if pipeline.vae.dtype == torch.float16 and upcast:
            self.vae.float()  # its activations overflow 16 bits
        for part in self.networks():
            part.requires_grad_(False).eval()

    def networks(self) -> list[nn.Module]:
        """Return all networks of the pipeline."""
        parts = self.pipeline.components.values()
        return [part for part in parts if isinstance(part, nn.Module)]

    @property
    @abstractmethod
    def denoiser(self) -> Any:
        """The network that makes a prediction at every step: U-Net or transformer."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the denoiser's weights."""
        return self.denoiser.dtype

    @property
    def device(self) -> torch.device:
        """The device of the denoiser."""
        return self.denoiser.device

    @property
    def factor(self) -> int:
        """Ratio of an image's height to a latent's, usually 8."""
        return self.pipeline.vae_scale_factor

    @abstractmethod
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        """Return the denoiser's prediction, without guidance.

        Args:
            z: latents (N, C, h, w).
            timestep: (N,).
            conditioning: further inputs, with leading dimension N.

        Returns:
            (N, C, h, w).
        """

    @abstractmethod
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """Return the denoiser's text inputs for both, with leading dimension B.

        The negative ones are None for a family without unconditional prediction.
        """

    def combine(self, f_u: Tensor, f_c: Tensor, w: float) -> Tensor:
        """Return the guided prediction of f_u, without the prompts, and f_c, with."""
        return classifier_free(f_u, f_c, w)

    def extra_conditioning(
        self, shape: LatentShape, guidance_scale: float
    ) -> dict[str, Tensor]:
        """Return further inputs of the denoiser, with leading dimension 1.

        They do not depend on the prompt: the size of the image, the guidance scale.

        Args:
            shape: (C, h, w) of one latent.
            guidance_scale: scale for networks with `embeds_guidance`.
        """
        return {}

    @abstractmethod
    def native(self) -> tuple[int, int, int]:
        """Return a latent's channels, default side, and the divisor of its sides."""

    @abstractmethod
    def schedule(self, shape: LatentShape) -> Schedule | FlowSchedule:
        """Return the noise schedule for latents of shape (C, h, w)."""

    def few_steps(self, num_steps: int) -> bool:
        """Return whether the model was distilled to make images in so few steps."""
        return False

    def latent_shape(
        self, height: int | None = None, width: int | None = None
    ) -> LatentShape:
        """Return (C, h, w) of one latent.

        Args:
            height: height of the image in pixels; by default the model's own.
            width: width of the image in pixels; by default the model's own.

        Raises:
            ValueError: a side is not a multiple of the model's smallest step.
        """
        channels, side, multiple = self.native()
        step = self.factor * multiple
        height = side * self.factor if height is None else height
        width = side * self.factor if width is None else width
        for name, length in (("height", height), ("width", width)):
            if length % step or length <= 0:
                raise ValueError(
                    f"Expected a {name} that is a multiple of {step} px for this "
                    f"model, received {length}; try {max(step, length // step * step)}."
                )
        return channels, height // self.factor, width // self.factor

    @torch.no_grad()
    def conditioning(
        self,
        prompts: Sequence[str],
        negative_prompts: Sequence[str],
        shape: LatentShape | None = None,
        guidance_scale: float = 1.0,
    ) -> Conditioning:
        """Return the denoiser's inputs for a batch of B generations.

        If a text encoder cuts a prompt, a warning names the encoder and quotes the
        part that it does not read.

        Args:
            prompts: B texts.
            negative_prompts: B texts, each may be empty.
            shape: (C, h, w) of one latent; by default the model's own.
            guidance_scale: scale for networks with `embeds_guidance`.
        """
        for text in dict.fromkeys([*prompts, *negative_prompts]):
            warn_of_cuts(text, self.text_inputs())
        positive, negative = self.encode_prompts(list(prompts), list(negative_prompts))
        extra = self.extra_conditioning(shape or self.latent_shape(), guidance_scale)
        more = {
            name: value.to(self.device).expand(len(prompts), *value.shape[1:])
            for name, value in extra.items()
        }
        both = positive | more, negative and negative | more
        return Conditioning(*both).to(self.dtype)

    def text_inputs(self) -> list[TextInput]:
        """Return tokenizer and token limit of every text encoder."""
        parts, found = self.pipeline.components, []
        for name, tokenizer in ENCODERS.items():
            reader = parts.get(tokenizer)
            if parts.get(name) is not None and reader is not None:
                reader = getattr(reader, "tokenizer", reader)  # a processor holds one
                found.append(TextInput(name, reader, self.token_limit(name, reader)))
        return found

    def token_limit(self, encoder: str, tokenizer: Any) -> int:
        """Return how many tokens `encode_prompts` gives a text encoder to read.

        Args:
            encoder: name of the encoder in the pipeline.
            tokenizer: the encoder's tokenizer.
        """
        return longest(tokenizer, encoder)

    def text_encoders(self) -> list[nn.Module]:
        """Return the pipeline's text encoders."""
        found = [self.pipeline.components.get(name) for name in ENCODERS]
        return [encoder for encoder in found if encoder is not None]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return latents (N, C, h, w), the mean of the VAE's posterior.

        Args:
            images: (N, 3, H, W) in [-1, 1].
        """
        encoded = self.vae.encode(images.to(self.vae.dtype))
        return self.scale(_mean(encoded).to(images.dtype))

    def decode(self, latents: Tensor) -> Tensor:
        """Return images (N, 3, H, W), roughly in [-1, 1] (not clamped).

        Args:
            latents: (N, C, h, w), denoised.
        """
        raw = self.unscale(latents).to(self.vae.dtype)
        return self.vae.decode(raw, return_dict=False)[0].to(latents.dtype)

    def scale(self, raw: Tensor) -> Tensor:
        """Return the denoiser's latents (N, C, h, w) of those of the VAE."""
        return (raw - self._shift) * self._scaling

    def unscale(self, latents: Tensor) -> Tensor:
        """Return the VAE's latents of the denoiser's: the inverse of `scale`."""
        return latents / self._scaling + self._shift

    @property
    def _scaling(self) -> float:
        return self.pipeline.vae.config.scaling_factor

    @property
    def _shift(self) -> float:
        return getattr(self.pipeline.vae.config, "shift_factor", None) or 0.0


def _mean(encoded: Any) -> Tensor:
    """Return the mean of a posterior, or the latents of a VAE that has none."""
    if hasattr(encoded, "latent_dist"):
        return encoded.latent_dist.mean
    return encoded.latents if hasattr(encoded, "latents") else encoded.latent
