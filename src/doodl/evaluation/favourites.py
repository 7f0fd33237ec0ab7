"""The picture that a generation would report if it ended after an update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from doodl.evaluation.cells import number
from doodl.evaluation.layouts import Result
from doodl.evaluation.records import updates

Line = Mapping[str, Any]
"""Scores of one update."""


def reports_last(result: Result) -> bool:
    """Return whether the result is the last picture, not the guide's favourite."""
    return result.row.get("selector") == "last"


def reported(result: Result) -> list[tuple[Line, Line]]:
    """Return every recorded update, and with it the one whose picture was in front.

    That is the first of those with the guide's highest score so far, as in
    `doodl.trajectory.Trajectory`; or the update itself, where the last picture is
    reported, or no score of the guide is known.
    """
    found: list[tuple[Line, Line]] = []
    best, highest = None, -math.inf
    for line in updates(result.metrics):
        guide = number(line.get("guide"))
        if guide > highest:
            best, highest = line, guide
        found.append((line, line if reports_last(result) else best or line))
    return found
