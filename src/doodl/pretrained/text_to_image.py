"""What the method needs of a text-to-image model, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from doodl.pretrained.texts import cut_tail, warn_of_cut
from doodl.sampling.denoiser import Conditioning
from doodl.sampling.schedule import FlowSchedule, Schedule

if TYPE_CHECKING:
    from doodl.pretrained.loading import Loading

Shape = tuple[int, int, int]
"""(C, h, w) of one latent."""


class TextToImage(ABC):
    """A diffusers pipeline as the parts that the method needs.

    All networks are frozen and in eval mode; none is registered anywhere. A family
    says how its network is told of the prompt, and what its latents look like.

    Args:
        pipeline: of diffusers.
        device: where the networks live.

    Attributes:
        embeds_guidance: whether the network is told the guidance scale, so that there
            is no unconditional prediction.
    """

    embeds_guidance: bool = False

    def __init__(self, pipeline: Any, device: torch.device | str = "cpu") -> None:
        self.pipeline = pipeline.to(device)
        self.vae: Any = pipeline.vae
        if pipeline.vae.dtype == torch.float16 and pipeline.vae.config.force_upcast:
            self.vae.float()  # its activations overflow 16 bits
        for part in self.networks():
            part.requires_grad_(False).eval()

    @staticmethod
    def load(
        name: str,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        loading: Loading | None = None,
    ) -> TextToImage:
        """Load a model by hub id, folder, single file, or as `shapes`.

        Args:
            name: of the model.
            device: where the networks will live.
            dtype: of their weights.
            loading: how it is found.

        Raises:
            ValueError: when there is no such model, or its family is not known here.
        """
        from doodl.pretrained import loading as families

        return families.load(name, device, dtype, loading)

    def networks(self) -> list[nn.Module]:
        """Return the pipeline's networks."""
        parts = self.pipeline.components.values()
        return [part for part in parts if isinstance(part, nn.Module)]

    @property
    @abstractmethod
    def denoiser(self) -> Any:
        """The network that is asked at every step."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the denoiser."""
        return self.denoiser.dtype

    @property
    def device(self) -> torch.device:
        """Where the networks live."""
        return self.denoiser.device

    @property
    def factor(self) -> int:
        """Pixels of an image for one place of a latent, on each side."""
        return self.pipeline.vae_scale_factor

    @abstractmethod
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        """Return the raw prediction (N, C, h, w) for latents z (N, C, h, w)."""

    @abstractmethod
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """Return what the network is told of both, named, with leading dimension B."""

    def told(self, shape: Shape, scale: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return what else it is told, each of leading dimension 1."""
        return {}

    @abstractmethod
    def native(self) -> tuple[int, int, int]:
        """Return channels, default side, and what sides of a latent must divide by."""

    @abstractmethod
    def schedule(self, shape: Shape) -> Schedule | FlowSchedule:
        """Return the noise schedule for latents of a shape."""

    def few_steps(self, num_steps: int) -> bool:  # noqa: ARG002
        """Return whether the model was distilled to jump in that few steps."""
        return False

    def latent_shape(
        self, height: int | None = None, width: int | None = None
    ) -> Shape:
        """Return (C, h, w) of one latent, by default of the model's own image size.

        Raises:
            ValueError: when a side does not fit the model.
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
        shape: Shape | None = None,
        scale: float = 1.0,
    ) -> Conditioning:
        """Return what the network is told, for one batch of generations.

        A prompt beyond a tokenizer's limit is cut, with a warning that quotes what is
        lost.

        Args:
            prompts: B texts.
            negative_prompts: B texts.
            shape: of the latents, by default the model's own.
            scale: of the guidance, for networks that are told.
        """
        for text in dict.fromkeys([*prompts, *negative_prompts]):
            for tokenizer in self.tokenizers():
                tail = cut_tail(tokenizer, text)
                warn_of_cut(text, tail)
                if tail:
                    break
        positive, negative = self.encode_prompts(list(prompts), list(negative_prompts))
        more = {
            name: value.to(self.device).expand(len(prompts), *value.shape[1:])
            for name, value in self.told(shape or self.latent_shape(), scale).items()
        }
        both = positive | more, negative and negative | more
        return Conditioning(*both).to(self.dtype)

    def tokenizers(self) -> list[Any]:
        """Return the pipeline's tokenizers, the one that reads most last."""
        names = ("tokenizer", "tokenizer_2", "tokenizer_3")
        found = [self.pipeline.components.get(name) for name in names]
        return [tokenizer for tokenizer in found if tokenizer is not None]

    def text_encoders(self) -> list[nn.Module]:
        """Return the pipeline's text encoders."""
        names = ("text_encoder", "text_encoder_2", "text_encoder_3")
        found = [self.pipeline.components.get(name) for name in names]
        return [encoder for encoder in found if encoder is not None]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return latents (N, C, h, w), the posterior's mean, of images (N, 3, H, W)."""
        posterior = self.vae.encode(images.to(self.vae.dtype)).latent_dist
        mean = posterior.mean.to(images.dtype)
        return (mean - self._shift) * self._scaling

    def decode(self, latents: Tensor) -> Tensor:
        """Return images (N, 3, H, W), about in [-1, 1], of latents (N, C, h, w)."""
        scaled = (latents / self._scaling + self._shift).to(self.vae.dtype)
        return self.vae.decode(scaled, return_dict=False)[0].to(latents.dtype)

    @property
    def _scaling(self) -> float:
        return self.pipeline.vae.config.scaling_factor

    @property
    def _shift(self) -> float:
        return getattr(self.pipeline.vae.config, "shift_factor", None) or 0.0
