"""What callbacks may return from the events of a batch.

Each function but the last returns a value if it is fit, and otherwise raises a
ValueError that names the callback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from doodl.files import is_unicode
from doodl.generation import Generation
from doodl.trajectory import Rendering

PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
"""Types that a saved state may contain, in addition to tensors and containers."""

STATE = {"update", "latents", "optimizer", "trajectory", "callbacks", "calls"}
"""Keys of a batch's state."""


def missing(callback: object, found: Any, batch: Sequence[Generation]) -> Any:
    """Return what `remaining` has returned, if it is a part of the batch."""
    known = isinstance(found, list) and set(found) <= set(batch)
    if not known or len(set(found)) < len(found):
        raise _unexpected(callback, "remaining", "generations of the batch")
    return found


def views(callback: object, found: Any) -> Any:
    """Return what `views` has returned, if it crops and reduces, or is None."""
    if found is None or (callable(found) and hasattr(found, "reduce")):
        return found
    raise _unexpected(callback, "views", "Views or None")


def state(callback: object, found: Any) -> Any:
    """Return what `saved_state` has returned, if it has the keys of a state."""
    if not found or (isinstance(found, Mapping) and found.keys() >= STATE):
        return found
    raise _unexpected(callback, "saved_state", "a state of on_state")


def stops(callback: object, found: Any, count: int) -> Mapping[int, str]:
    """Return what `stops` has returned, if it is reasons by positions in the batch."""
    if isinstance(found, Mapping) and all(
        index in range(count) and _is_reason(reason) for index, reason in found.items()
    ):
        return found
    raise _unexpected(callback, "stops", "reasons by position in the batch")


def filtered(callback: object, found: Any, rendering: Rendering) -> Rendering:
    """Return a rendering with the pixels of the one that `filter` has returned.

    A filter changes the pixels only, and leaves them finite where they were.
    """
    if found is rendering:
        return rendering
    pixels: Any = getattr(found, "pixels", None)
    before = rendering.pixels
    fits = isinstance(found, Rendering) and isinstance(pixels, Tensor)
    if fits and pixels.shape == before.shape and pixels.is_floating_point():
        pixels = pixels.to(before)
        if (pixels.isfinite() | ~before.isfinite()).all():
            return replace(rendering, pixels=pixels)
    raise _unexpected(callback, "filter", "a Rendering with fitting pixels")


def _unexpected(callback: object, method: str, expected: str) -> ValueError:
    name = type(callback).__name__
    return ValueError(
        f"Expected {expected} from {method} of the callback {name}, received something "
        "else; correct what it returns."
    )


def _is_reason(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip()) and is_unicode(text)


def foreign_type(value: Any) -> str | None:
    """Return the name of a contained type that a safe reader refuses, or None."""
    if value is None or type(value) in PLAIN or isinstance(value, Tensor):
        return None
    if type(value) in (list, tuple, set, dict):
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return next((f for part in parts if (f := foreign_type(part))), None)
    return type(value).__name__
