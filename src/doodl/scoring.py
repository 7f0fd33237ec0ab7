"""How pictures are looked at: their crops for the loss, whole for the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from doodl.guides.base import Guide, repeat
from doodl.guides.views import FullFrame, Views


def crop_losses(
    guide: Guide,
    views: Views,
    pixels: Tensor,
    targets: Mapping[str, Tensor],
    generators: Sequence[torch.Generator],
) -> dict[str, Tensor]:
    """Return the guide's terms for N images, each reduced over their crops.

    Args:
        guide: the loss of single images.
        views: makes the crops of an image, and one loss of the crops' losses.
        pixels: (N, 3, H, W) in [0, 1].
        targets: the guide's targets, each with leading dimension N.
        generators: N random generators, one for each image.

    Returns:
        losses (N,) by name: `loss` first, then the terms that it consists of.

    Raises:
        ValueError: the guide does not return one loss for each image.
    """
    crops = views(pixels, guide.input_size, generators)
    count = crops.shape[1]

    terms = guide.terms(crops.flatten(0, 1), repeat(targets, count))
    expected = (len(crops) * count,)
    for term in terms.values():
        if term.shape != expected:
            raise ValueError(
                f"Expected one loss a picture, {expected}, from the guide "
                f"{type(guide).__name__}, received {tuple(term.shape)}; take the mean "
                "over channels, rows and columns, not over pictures."
            )
    return {
        name: views.reduce(term.unflatten(0, (-1, count)))
        for name, term in terms.items()
    }


def scores(
    watchers: Mapping[str, Guide],
    targets: Mapping[str, Mapping[str, Tensor]],
    pixels: Tensor,
) -> dict[str, Tensor]:
    """Return the score (B,) of whole pictures (B, 3, H, W) by each guide's name."""
    whole = FullFrame()
    return {
        name: guide.score(whole(pixels, guide.input_size, [])[:, 0], targets[name])
        for name, guide in watchers.items()
    }
