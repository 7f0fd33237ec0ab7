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
) -> Tensor:
    """Return each picture's loss and those of the guide's members (N, 1 + M).

    Args:
        guide: the loss of single pictures.
        views: makes crops of a picture, and one loss of theirs.
        pixels: (N, 3, H, W) in [0, 1].
        targets: of the guide, each with leading dimension N.
        generators: one a picture.
    """
    crops = views(pixels, guide.input_size, generators)
    count = crops.shape[1]

    whole = guide(crops.flatten(0, 1), repeat(targets, count))
    expected = (len(crops) * count,)
    if whole.shape != expected:
        raise ValueError(
            f"Expected one loss a picture, {expected}, from the guide "
            f"{type(guide).__name__}, received {tuple(whole.shape)}; take the mean "
            "over channels, rows and columns, not over pictures."
        )
    losses = [whole, *guide.losses.values()]
    split = [part.unflatten(0, (-1, count)) for part in losses]
    return torch.stack([views.reduce(part) for part in split], dim=1)


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
