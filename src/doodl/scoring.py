"""The guide's losses of crops, and the scores of whole pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from doodl.execution import Execution
from doodl.generation import Generation
from doodl.guides.base import Guide, repeat
from doodl.guides.returned import check_differentiable, check_shape, check_terms
from doodl.guides.views import FullFrame, Verdict, Views
from doodl.images import to_pixels


@dataclass(frozen=True)
class Losses:
    """The guide's losses of a batch of B generations.

    Args:
        total: (B,) loss of each generation, averaged over its k images;
            differentiable.
        terms: the same loss under "loss" and its parts under "loss_NAME", (B,) each;
            detached.
        pixels: (k, B, 3, H, W) in [0, 1], the images of the k latents; detached.
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
    """Return the loss of each picture under "loss", and its parts by name, (N,) each.

    Args:
        guide: computes one loss for each crop.
        views: crops the pictures, and reduces the losses of the crops of a picture.
        pixels: (N, 3, H, W) in [0, 1].
        targets: inputs of the guide, each with leading dimension N.
        generators: N random generators, one for the crops of each picture.

    Raises:
        ValueError: the guide does not return one loss for each crop, or returns losses
            without a gradient for pixels that need one.
    """
    crops = views(pixels, guide.input_size, generators)
    count, name = crops.shape[1], f"the guide {type(guide).__name__}"
    terms = guide.terms(crops.flatten(0, 1), repeat(targets, count))
    check_terms(terms, len(crops) * count, name)
    if crops.requires_grad:
        check_differentiable(terms["loss"], name)
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
        guide: computes one loss for each crop.
        views: crops the pictures, and reduces the losses of the crops of a picture.
        decode: maps latents (N, C, h, w) to images (N, 3, H, W) in [-1, 1].
        final: (k, B, C, h, w) denoised latents.
        targets: inputs of the guide, each with leading dimension B.
        generators: k * B random generators, one for the crops of each image.
        execution: decides whether images are decoded and scored one by one.
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
        kept = pixels.detach().clone()  # a guide may modify its input in place
        named = {k: v.clone() for k, v in zip(repeated, values, strict=True)}
        streams = [generators[i] for i in index.tolist()]
        terms = dict(crop_terms(guide, views, pixels, named, streams))
        loss = terms.pop("loss")  # the others are only reported
        terms = {"loss": loss} | {k: v.detach() for k, v in terms.items()}
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


def verdicts_of(
    verdict: Verdict | None, pixels: Tensor, generations: Sequence[Generation]
) -> list[bool | None]:
    """Return the verdicts on B images; an empty list without anyone who decides.

    Args:
        verdict: decides; it receives a copy of the images.
        pixels: (B, 3, H, W) in [0, 1].
        generations: the B generations that the images belong to.

    Raises:
        ValueError: its class returns anything else.
    """
    if verdict is None:
        return []
    found: Any = verdict.verdicts(pixels.clone(), list(generations))
    listed = isinstance(found, list | tuple) and len(found) == len(generations)
    kinds = (bool, np.bool_, type(None))
    if not (listed and all(isinstance(v, kinds) for v in found)):
        raise ValueError(
            f"Expected a list of {len(generations)} values True, False or None, one a "
            f"picture, from verdicts of {type(verdict).__name__}, received "
            f"{str(found):.60}; correct what it returns."
        )
    return [None if v is None else bool(v) for v in found]


def full_frame_scores(
    watchers: Mapping[str, Guide],
    targets: Mapping[str, Mapping[str, Tensor]],
    pixels: Tensor,
) -> dict[str, Tensor]:
    """Return the scores (B,) of whole pictures, under the keys of `watchers`.

    Args:
        watchers: the guides that score the pictures.
        targets: inputs of each guide, under the same keys.
        pixels: (B, 3, H, W) in [0, 1].
    """
    whole = FullFrame()
    found = {}
    for name, guide in watchers.items():
        # Each guide gets copies, because it may modify its inputs in place.
        seen = whole(pixels.clone(), guide.input_size, [])[:, 0]
        told = {key: target.clone() for key, target in targets[name].items()}
        kind = f"the {name} {type(guide).__name__}"
        found[name] = check_shape(guide.score(seen, told), len(pixels), kind, "score")
    return found
