"""What callbacks may return from the events of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
"""Types that a saved state may contain, in addition to tensors and containers."""


def unexpected(callback: object, method: str, expected: str) -> ValueError:
    """Return the error of a callback whose method returns something else.

    Args:
        callback: the callback.
        method: name of the method.
        expected: what it should return.
    """
    name = type(callback).__name__
    return ValueError(
        f"Expected {expected} from {method} of the callback {name}, received something "
        "else; correct what it returns."
    )


def are_reasons(found: Any, count: int) -> bool:
    """Return whether a callback's stops are texts by positions in a batch."""
    return isinstance(found, Mapping) and all(
        index in range(count) and isinstance(reason, str)
        for index, reason in found.items()
    )


def foreign_type(value: Any) -> str | None:
    """Return the name of a contained type that a safe reader refuses, or None."""
    if value is None or type(value) in PLAIN or isinstance(value, Tensor):
        return None
    if type(value) in (list, tuple, set, dict):
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return next((f for part in parts if (f := foreign_type(part))), None)
    return type(value).__name__
