"""What a folder of results lacks, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from doodl.evaluation.layouts import Result
from doodl.evaluation.records import WRONG
from doodl.files import read_text
from doodl.jobs.tables import SUMMARY

REST = "its command, run again, makes the rest"


def unreadable_summaries(folder: Path, name: str, found: Sequence[Result]) -> list[str]:
    """Return a note on the generations whose summary cannot be read, if there are any.

    Args:
        folder: of results that this package made.
        name: of the method.
        found: its generations.

    Raises:
        ValueError: no summary can be read.
    """
    known = {result.name for result in found}
    places = (path.parent.name for path in folder.glob(f"*/{SUMMARY}"))
    lost = sorted(place for place in places if place not in known)
    if lost and not found:
        raise ValueError(
            f"Could not read '{folder / lost[0] / SUMMARY}', nor another summary in "
            f"'{folder}'; the command that made the folder makes them again."
        )
    if not lost:
        return []
    return [
        f"{name} lacks {len(lost)} of {len(lost) + len(found)} generations, whose "
        f"summaries cannot be read: {', '.join(lost[:3])}; the command that made them "
        "makes them again."
    ]


def unfinished(folder: Path, name: str, found: Sequence[Result]) -> list[str]:
    """Return a note on the generations that a job has not finished, if there are any.

    What the job is to make stands in its `config.yaml`; where that cannot be read, or
    names a file of prompts that is gone, states of begun batches tell.

    Args:
        folder: of results that this package made.
        name: of the method.
        found: its finished generations.
    """
    planned = _planned(folder)
    if planned is not None:
        lacking = planned - Counter((result.prompt, result.seed) for result in found)
        if not lacking:
            return []
        return [
            f"{name} is unfinished: {planned.total() - lacking.total()} of "
            f"{planned.total()} generations are finished and scored; {REST}."
        ]
    begun = len(list(folder.glob(".state/*.pt")))
    if not begun:
        return []
    batches = "1 batch is" if begun == 1 else f"{begun} batches are"
    return [
        f"{name} is unfinished: {batches} begun, {len(found)} generations are finished "
        f"and scored; {REST}."
    ]


def _planned(folder: Path) -> Counter[tuple[str, int]] | None:
    """Return how often a job has each prompt and seed; None if that is not known."""
    from doodl.jobs.data import PromptsAndSeeds  # imports Lightning

    try:
        text = read_text(folder / "config.yaml", "a configuration")
        job = PromptsAndSeeds(**yaml.safe_load(text)["data"])
    except (*WRONG, AttributeError, RecursionError, yaml.YAMLError):
        return None
    return Counter((one.prompt, one.seed) for one in job.generations)


def missing_pictures(name: str, found: Sequence[Result]) -> list[str]:
    """Return notes on pictures that should be there, if any is not.

    Args:
        name: of the method.
        found: its generations.
    """
    results = sum(result.after is None for result in found)
    originals = sum(result.original_lost for result in found)
    lost = {"pictures": results, "originals": originals}
    return [
        f"{name} lacks the {what} of {count} of {len(found)} generations."
        for what, count in lost.items()
        if count
    ]
