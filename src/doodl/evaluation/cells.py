"""The cells of tables as numbers."""

from __future__ import annotations

import math
from typing import Any

LARGEST = 1e100
"""Numbers beyond are none: sums of their cubes, in intervals, would overflow."""


def number(value: Any) -> float:
    """Return a cell as a number; truth values count 1 and 0.

    Anything else is NaN, also what is not finite or beyond `LARGEST`.
    """
    words = {"true": 1.0, "false": 0.0, "right": 1.0, "wrong": 0.0}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    try:
        found = math.nan if value is None or value == "" else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return found if abs(found) <= LARGEST else math.nan


def known(value: Any) -> float | None:
    """Return a cell as a number, as `number` does, or None."""
    found = number(value)
    return None if math.isnan(found) else found
