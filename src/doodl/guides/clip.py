"""CLIP guidance: the angle between the embeddings of an image and a target."""

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
    """Return the squared great-circle distance  2 arcsin^2(|u - v| / 2).

    It is half the squared angle: 0 for equal vectors, pi^2 / 2 for opposite ones. Value
    and gradient are finite everywhere, also for equal and opposite vectors.

    Args:
        u: (..., D) of length 1.
        v: (..., D) of length 1.

    Returns:
        (...)
    """
    half = torch.linalg.vector_norm(u - v, dim=-1) / 2
    # The slope of arcsin is infinite at 1; round-off can even exceed 1.
    return 2 * half.clamp(max=1 - torch.finfo(half.dtype).eps).arcsin().square()


class ClipGuide(Guide):
    """Base of guides that compare the CLIP embedding of an image with a target.

    The loss is the squared great-circle distance between the embedding and the target
    `embedding`, which a subclass returns from `prepare`; the score is their cosine
    similarity.

    Args:
        model: name of the CLIP: `shapes/NAME`, a folder, `ARCHITECTURE:PRETRAINED`,
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
        """Return the cosine similarities (N,) in [-1, 1] of images and targets."""
        return (self.embed(pixels) * targets["embedding"]).sum(-1)

    def embed(self, pixels: Tensor) -> Tensor:
        """Return the unit embeddings (N, D) of N images, in float32 or more.

        Args:
            pixels: (N, 3, input_size, input_size) in [0, 1].

        Raises:
            ValueError: the pixels have another shape.
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
        """Return one parameter of the network, which has its device and dtype."""
        return next(self.network.parameters())


class CLIPText(ClipGuide):
    """Squared great-circle distance between the embeddings of an image and a text.

    The text is the generation's own guide prompt, or else this guide's `guide_prompt`,
    or else the generation's prompt.

    Args:
        model: name of the CLIP: `shapes/NAME`, a folder, `ARCHITECTURE:PRETRAINED`,
            `hf-hub:owner/name` or `transformers:owner/name`.
        guide_prompt: text for all generations without a guide prompt of their own; by
            default each has its prompt.

    Raises:
        ValueError: `model` or `guide_prompt` is blank.
    """

    reads = frozenset({"guide_prompt"})

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
        """Return the unit embeddings (N, D) of N texts, in float32 or more.

        A warning quotes the part beyond the context length, once for each text.
        """
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
    """Return embeddings (..., D) divided by their length, in float32 or more.

    In 16 bits the angle between an embedding and a nearby target would be too coarse.
    """
    dtype = torch.promote_types(embeddings.dtype, torch.float32)
    return F.normalize(embeddings.to(dtype), dim=-1)
