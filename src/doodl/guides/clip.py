"""CLIP guidance: the angle between a picture and what it should show."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from doodl.generation import Generation
from doodl.guides.base import Guide, freeze

if TYPE_CHECKING:
    from doodl.pretrained import Clip


def spherical_distance(u: Tensor, v: Tensor) -> Tensor:
    """Squared great-circle distance of unit vectors:  2 arcsin^2(|u - v| / 2).

    Half the squared angle: 0 for equal vectors, pi^2 / 2 for opposite ones. Value and
    gradient are finite everywhere, also at both of these ends.

    Args:
        u: (..., D) of length 1.
        v: (..., D) of length 1.

    Returns:
        (...)
    """
    half = torch.linalg.vector_norm(u - v, dim=-1) / 2
    # The slope of arcsin is infinite at 1, which rounding reaches and exceeds.
    return 2 * half.clamp(max=1 - torch.finfo(half.dtype).eps).arcsin().square()


class ClipGuide(Guide):
    """A guide that sees through a CLIP.

    Its loss is the squared great-circle distance between a picture's embedding and
    its target "embedding", which `prepare` of a subclass gives; its score is their
    cosine similarity.

    Args:
        model: a CLIP: `shapes/NAME`, a folder, `ARCHITECTURE:PRETRAINED`,
            `hf-hub:owner/name` or `transformers:owner/name`.

    Raises:
        ValueError: `model` is blank.
    """

    network: nn.Module
    mean: Tensor
    std: Tensor

    def __init__(self, model: str) -> None:
        super().__init__()
        if not model.strip():
            raise ValueError(
                "Expected the name or the folder of a CLIP, received a blank."
            )
        self.model = model
        self.clip: Clip | None = None

    @override
    def load(self, device: torch.device | str = "cpu") -> None:
        if self.clip is None:
            from doodl.pretrained import load_clip

            self.clip = load_clip(self.model)
            self.network = freeze(self.clip.network)
            self.register_buffer("mean", torch.tensor(self.clip.mean).view(3, 1, 1))
            self.register_buffer("std", torch.tensor(self.clip.std).view(3, 1, 1))
            self.input_size = self.clip.image_size
        self.to(device)

    @override
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return spherical_distance(self.embed(pixels), targets["embedding"])

    @override
    def score(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Cosine similarity of picture and target, (N,) in [-1, 1]."""
        return (self.embed(pixels) * targets["embedding"]).sum(-1)

    def embed(self, pixels: Tensor) -> Tensor:
        """(N, D) unit embeddings of (N, 3, input_size, input_size) pixels.

        Raises:
            ValueError: pixels of another shape.
        """
        clip, size = self._loaded(), self.input_size
        if pixels.shape[1:] != (3, size, size):
            raise ValueError(
                f"Expected pixels (N, 3, {size}, {size}) for this CLIP, "
                f"received {tuple(pixels.shape)}; resize them first."
            )
        normalised = (pixels - self.mean) / self.std
        return unit(clip.encode_image(normalised.to(self._weight().dtype)))

    def _loaded(self) -> Clip:
        if self.clip is None:
            raise RuntimeError("The guide has no network yet; call load() first.")
        return self.clip

    def _weight(self) -> Tensor:
        """Any weight of the network: it knows the device and the precision."""
        return next(self.network.parameters())


class CLIPText(ClipGuide):
    """Squared great-circle distance between a picture's and a text's embedding.

    The text is the generation's own guide prompt, else this guide's, else the prompt.

    Args:
        model: a CLIP: `shapes/NAME`, a folder, `ARCHITECTURE:PRETRAINED`,
            `hf-hub:owner/name` or `transformers:owner/name`.
        guide_prompt: text that all pictures are guided to, if not their own prompts.

    Raises:
        ValueError: `model` or `guide_prompt` is blank.
    """

    def __init__(self, model: str, *, guide_prompt: str | None = None) -> None:
        super().__init__(model)
        if guide_prompt is not None and not guide_prompt.strip():
            raise ValueError("Expected a guide_prompt, received a blank; leave it out.")
        self.guide_prompt = guide_prompt
        self._quoted: set[str] = set()

    @override
    def prepare(self, generations: Sequence[Generation]) -> dict[str, Tensor]:
        texts = [g.guide_prompt or self.guide_prompt or g.prompt for g in generations]
        return {"embedding": self.embed_texts(texts)}

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D) unit embeddings; a text that is cut is quoted in a warning, once."""
        clip = self._loaded()
        for text in texts:
            tail = clip.cut(text)
            if tail and text not in self._quoted:
                self._quoted.add(text)
                warnings.warn(
                    f"The guide prompt '{text}' is longer than '{self.model}' reads: "
                    f"'{tail}' is cut.",
                    stacklevel=2,
                )
        return unit(clip.encode_text(clip.tokenize(texts).to(self._weight().device)))


def unit(embeddings: Tensor) -> Tensor:
    """Length 1, in 32 bits at least: near the target 16 are too coarse for an angle."""
    dtype = torch.promote_types(embeddings.dtype, torch.float32)
    return F.normalize(embeddings.to(dtype), dim=-1)
