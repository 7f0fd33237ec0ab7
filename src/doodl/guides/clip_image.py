"""CLIP image guidance: the angle between a picture and pictures of what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from doodl import images as files
from doodl.data import Generation
from doodl.guides.clip import ClipGuide, unit
from doodl.guides.cutouts import resize


class CLIPImage(ClipGuide):
    """Squared great-circle distance between a picture and reference pictures.

    The target is the normalised mean of the references' unit embeddings.

    Of a reference that is not square its central square is seen, as CLIP was trained
    to: proportions stay, both ends of the longer side are cut. Crop a file yourself
    where its object is not in the middle.

    Args:
        model: name or folder of the CLIP.
        images: picture files, at least one.

    Raises:
        ValueError: `model` is blank, `images` is empty or no list, or one of them is
            missing or no picture.
    """

    references: Tensor

    def __init__(self, model: str, images: list[str]) -> None:
        super().__init__(model)
        check_images(images)
        self.images = list(images)

    @override
    def load(self, device: torch.device | str = "cpu") -> None:
        if self.clip is None:
            super().load()
            squares = [
                resize(centre_square(files.load(path))[None], self._loaded().image_size)
                for path in self.images
            ]
            self.register_buffer("references", torch.cat(squares))
        super().load(device)

    @override
    def prepare(self, generations: Sequence[Generation]) -> dict[str, Tensor]:
        self._loaded()
        target = self.embed_mean(self.references)
        return {"embedding": target.expand(len(generations), -1)}

    @torch.no_grad()
    def embed_mean(self, pixels: Tensor) -> Tensor:
        """Unit embedding (D,) of several pictures (K, 3, input_size, input_size)."""
        return unit(self.embed(pixels).mean(dim=0))


def check_images(paths: Sequence[str]) -> None:
    """Refuse a list of references that is empty or holds a file that is no picture.

    Raises:
        ValueError: in each of these cases, naming the file.
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
    """The largest square (..., s, s) in the middle of pictures (..., H, W)."""
    height, width = pixels.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[..., top : top + side, left : left + side]
