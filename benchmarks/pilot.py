"""What a table costs, and how many prompts it needs by a pilot's differences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from doodl.evaluation.statistics import Key, compare, prompts_needed
from doodl.evaluation.summary import METRICS, Evaluation
from doodl.jobs.tables import TIMING

PROMPTS = 12
"""Of a pilot, unless the user says another number."""
HALF_WIDTH = {100: 0.06, 1: 0.15}
"""Of the intervals that are planned for: 6 points of a share, 0.15 of a rating."""


def plan(evaluation: Evaluation, column: str, ours: str, seeds: int) -> dict[str, Any]:
    """Return how many prompts the interval of each paired difference needs.

    Args:
        evaluation: of a pilot, two seeds a prompt or more.
        column: score of the differences.
        ours: method that is compared with the others.
        seeds: number of seeds that the table has of each prompt.

    Returns:
        `half_width` and `seeds`, under `needs` the number of prompts by method, and
        the largest of them as `prompts`.
    """
    methods = {m.name: m.values(column) for m in evaluation.methods}
    width = HALF_WIDTH[100 if METRICS[column][1] == 100 else 1]
    needs = {
        name: prompts_needed(differences(methods[ours], values), width, seeds=seeds)
        for name, values in methods.items()
        if name != ours and compare(methods[ours], values).difference.count
    }
    most = max(needs.values(), default=2)
    return {"half_width": width, "seeds": seeds, "needs": needs, "prompts": most}


def differences(first: dict[Key, float], second: dict[Key, float]) -> dict[Key, float]:
    """Return the differences of the generations that both methods have."""
    return {key: first[key] - second[key] for key in first.keys() & second.keys()}


def sentence(found: dict[str, Any], hours: float) -> str:
    """Return the plan in words.

    Args:
        found: by `plan`.
        hours: that a prompt took in the pilot, with all methods and seeds.
    """
    parts = [f"{name} {count}" for name, count in found["needs"].items()]
    width = found["half_width"]
    size = f"{100 * width:g} points" if width < 0.1 else f"{width:g}"
    return (
        f"{found['prompts']} prompts of {found['seeds']} seeds give intervals of "
        f"\N{PLUS-MINUS SIGN}{size} or better ({', '.join(parts)}), in about "
        f"{found['prompts'] * hours:.1f} hours."
    )


def outlook(
    evaluation: Evaluation, column: str, ours: str, seeds: int, hours: float
) -> str:
    """Return the plan that a finished table's own differences give, in words.

    A table whose prompts have one seed each gives none. The arguments are those of
    `plan` and `sentence`.
    """
    if seeds < 2:
        return ""
    try:
        return sentence(plan(evaluation, column, ours, seeds), hours)
    except ValueError:  # a generation is missing
        return ""


def spent(evaluation: Evaluation, draws: Path) -> float:
    """Return the hours that a table's pictures took, those of its draws included."""
    folders = dict.fromkeys(m.method.folder for m in evaluation.methods)
    seconds = 0.0
    for folder in [*folders, draws]:
        for path in folder.glob(f"*/{TIMING}"):
            seconds += float(json.loads(path.read_text())["seconds"])
    return seconds / 3600


def planned(path: Path) -> int | None:
    """Return the number of prompts of a plan; None before a pilot."""
    return json.loads(path.read_text())["prompts"] if path.is_file() else None
