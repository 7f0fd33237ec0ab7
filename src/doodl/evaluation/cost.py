"""The cost of finished generations, from the network calls that were counted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from doodl.evaluation.cells import number
from doodl.jobs.timing import CallCost, count_flops
from doodl.pretrained import CheckpointSource
from doodl.pretrained.folders import locate
from doodl.pretrained.outline import outline
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.gradient import BACKWARD

GRADIENT_CALL = 1 + BACKWARD
"""Cost of a call with the gradient of its input, in calls without gradient."""


@dataclass(frozen=True)
class Calls:
    """Network calls of one generation.

    A call predicts one step of one latent; classifier-free guidance is part of it, for
    every method alike. Calls that the backward pass repeats are counted again.

    Args:
        plain: calls without gradient.
        gradient: calls with gradient.
    """

    plain: float
    gradient: float

    @property
    def equivalents(self) -> float:
        """Arithmetic of all calls, in calls without gradient."""
        return self.plain + GRADIENT_CALL * self.gradient

    def flops(self, call: CallCost) -> float:
        """FLOPs of all calls, without decoder, guide and judge."""
        return self.plain * call.flops + self.gradient * call.gradient_flops


def calls_made(row: Mapping[str, Any]) -> Calls | None:
    """Return the calls that a row records; None where they were not counted.

    Args:
        row: of a manifest or of `metrics.jsonl`, with the columns `calls` (without
            gradient) and `gradient_calls`; without the latter there were none.
    """
    plain, gradient = number(row.get("calls")), number(row.get("gradient_calls"))
    if math.isnan(plain):
        return None
    return Calls(plain, 0.0 if math.isnan(gradient) else gradient)


def call_cost(settings: Mapping[str, Any]) -> CallCost | None:
    """Return the FLOPs of one guided call for one picture, without running it.

    Args:
        settings: of a results folder.

    Returns:
        None if the configurations of the model are not on this machine, or do not
        build a model; nothing is downloaded.
    """
    model = settings.get("model", {})
    try:
        folder = _folder(model.get("pretrained"))
        if folder is None:
            return None
        size = model.get("height"), model.get("width")
        loading = json.dumps(model.get("loading") or {})
        return _count(folder, loading, size, float(model.get("guidance_scale", 1.0)))
    except Exception:  # settings of a stranger make libraries raise many kinds
        return None


@lru_cache(maxsize=8)  # methods that are compared usually have one model
def _count(
    folder: str,
    loading: str,
    size: tuple[int | None, int | None],
    scale: float,
) -> CallCost:
    """Return the FLOPs of one guided call of the model in a folder.

    How its weights are loaded comes as JSON, since a cache has no key for a list.
    """
    made = outline(folder, loading=CheckpointSource(**json.loads(loading)))
    shape = made.latent_shape(*size)
    conditioning = made.conditioning([""], [""], shape, scale)
    scale = 1.0 if made.embeds_guidance else scale
    denoiser = GuidedDenoiser(made.network, scale, made.dtype, None, made.combine)
    call = partial(denoiser, timestep=500, conditioning=conditioning)
    return count_flops(call, torch.empty(1, *shape, device="meta"))


def _folder(name: Any) -> str | None:
    """Return the local folder of a model, also of a hub id that was downloaded."""
    try:
        place = locate(str(name), "model_index.json")
    except ValueError:
        return None
    if Path(place).is_dir():
        return place
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(place, "model_index.json")
    except ValueError:  # not the form of a hub id
        return None
    return str(Path(found).parent) if isinstance(found, str) else None
