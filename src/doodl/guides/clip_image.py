"""CLIP image guidance: the angle between an image and reference images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from doodl import images as files
from doodl.generation import Generation
from doodl.guides.clip import ClipGuide, unit
from doodl.guides.cutouts import resize


class CLIPImage(ClipGuide):
    """Squared great-circle distance between an image and reference images.

    The target is the mean of the references' unit embeddings, normalised.

    A reference that is not square is cropped to its central square, like the images
    that CLIP was trained on. Crop a file yourself if its object is not in the centre.

    Args:
        model: name of the CLIP: `shapes/NAME`, a folder, `ARCHITECTURE:PRETRAINED`,
            `hf-hub:owner/name` or `transformers:owner/name`.
        images: image files, at least one, for all generations without an image of
            their own.

    Raises:
        ValueError: `model` is blank, `images` is empty or not a list, or one of the
            files is missing or not an image.

    References:
        DOODL, arXiv 2303.13703, personalises images in this way.
    """

    reads = frozenset({"image"})

    def __init__(self, model: str, images: list[str] | None = None) -> None:
        super().__init__(model)
        if images is not None:
            check_images(images)
        self.images = None if images is None else list(images)

    @override
    def check(self, generations: Sequence[Generation]) -> None:
        for image in dict.fromkeys(g.image for g in generations):
            if image is not None:
                check_images([image])
            elif self.images is None:
                raise ValueError(
                    "Expected reference images, received none; set "
                    "model.guide.init_args.images, or give the prompts in a file with "
                    "the column image."
                )

    @override
    def prepare(self, generations: Sequence[Generation]) -> dict[str, Tensor]:
        self.check(generations)
        names = [g.image for g in generations]
        targets = {
            name: self.embed_mean(self.read([name] if name else self.images or []))
            for name in dict.fromkeys(names)
        }
        return {"embedding": torch.stack([targets[name] for name in names])}

    def read(self, paths: Sequence[str]) -> Tensor:
        """Return the pixels (K, 3, input_size, input_size) in [0, 1] of K files."""
        size = self._loaded().image_size
        squares = [resize(centre_square(files.load(p))[None], size) for p in paths]
        return torch.cat(squares).to(self._weight().device)

    @torch.no_grad()
    def embed_mean(self, pixels: Tensor) -> Tensor:
        """Return the normalised mean (D,) of the unit embeddings of K images.

        Args:
            pixels: (K, 3, input_size, input_size) in [0, 1].
        """
        return unit(self.embed(pixels).mean(dim=0))


def check_images(paths: Sequence[str]) -> None:
    """Refuse reference images that cannot be read.

    Raises:
        ValueError: `paths` is empty or not a list, or one of the files is missing or
            not an image.
    """
    if isinstance(paths, str):
        raise ValueError(
            f"Expected a list of images, received '{paths}'; put it in a list."
        )
    if not paths:
        raise ValueError(
            "Expected at least one reference image, received an empty list; "
            "add the path of a file."
        )
    for path in paths:
        files.load(path)


def centre_square(pixels: Tensor) -> Tensor:
    """Return the central square (..., s, s), s = min(H, W), of images (..., H, W)."""
    height, width = pixels.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[..., top : top + side, left : left + side]
