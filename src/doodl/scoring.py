"""The guide's losses on crops of pictures, and the scores of whole pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from doodl.execution import Execution
from doodl.guides.base import Guide, repeat
from doodl.guides.views import FullFrame, Views
from doodl.images import to_pixels


@dataclass(frozen=True)
class Losses:
    """The guide's losses of a batch of B generations.

    Args:
        total: (B,) mean over a generation's images; differentiable.
        terms: the total under "loss" and its parts under "loss_NAME", (B,) each,
            detached.
        pixels: (k, B, 3, H, W) in [0, 1], the images of the k latents, detached.
    """

    total: Tensor
    terms: dict[str, Tensor]
    pixels: Tensor


def crop_terms(
    guide: Guide,
    views: Views,
    pixels: Tensor,
    targets: Mapping[str, Tensor],
    generators: Sequence[torch.Generator],
) -> dict[str, Tensor]:
    """Return each picture's loss under "loss" and the parts of it, (N,) each.

    Args:
        guide: the loss of single pictures.
        views: makes crops of a picture, and reduces their losses to one.
        pixels: (N, 3, H, W) in [0, 1].
        targets: of the guide, each with leading dimension N.
        generators: one for each picture.

    Raises:
        ValueError: the guide does not return one loss for each picture.
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


def batch_losses(
    guide: Guide,
    views: Views,
    decode: Callable[[Tensor], Tensor],
    final: Tensor,
    targets: Mapping[str, Tensor],
    generators: Sequence[torch.Generator],
    *,
    execution: Execution,
    area: int,
) -> Losses:
    """Decode final latents and return the guide's losses of their images.

    Args:
        guide: the loss of single pictures.
        views: how the guide looks at a picture.
        decode: maps latents (N, C, h, w) to images (N, 3, H, W) in [-1, 1].
        final: (k, B, C, h, w) denoised latents.
        targets: of the guide, each with leading dimension B.
        generators: k B of them, for the crops of each image.
        execution: whether images are taken one by one.
        area: height times width of one image in pixels.
    """
    count, batch = final.shape[:2]
    repeated = {
        name: target.repeat(count, *[1] * (target.dim() - 1))
        for name, target in targets.items()
    }
    names: list[str] = []

    def look(latents: Tensor, index: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        pixels = to_pixels(decode(latents))
        kept = pixels.detach().clone()  # a guide may write into what it is given
        named = dict(zip(repeated, values, strict=True))
        streams = [generators[i] for i in index.tolist()]
        terms = crop_terms(guide, views, pixels, named, streams)
        names[:] = [name if name == "loss" else f"loss_{name}" for name in terms]
        rows = torch.stack(list(terms.values()), dim=1)
        return rows[:, 0], rows.detach(), kept

    total, rows, pixels = execution.losses(
        look,
        final.flatten(0, 1),
        torch.arange(count * batch),
        *repeated.values(),
        pixels=area,
    )
    means = rows.unflatten(0, (count, batch)).mean(dim=0).unbind(dim=1)
    return Losses(
        total.unflatten(0, (count, batch)).mean(dim=0),
        dict(zip(names, means, strict=True)),
        pixels.unflatten(0, (count, batch)),
    )


def full_frame_scores(
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
