"""Every score of every generation, before and after guidance."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doodl.evaluation.cells import known, number
from doodl.evaluation.cost import call_cost, calls_made
from doodl.evaluation.folders import Method
from doodl.evaluation.judging import judge_pictures
from doodl.evaluation.layouts import Result
from doodl.evaluation.metrics import (
    ClipFeatures,
    clip_scores,
    lpips,
    movements,
)
from doodl.evaluation.records import latents
from doodl.evaluation.statistics import Key
from doodl.evaluation.verdicts import Describes
from doodl.evaluation.whiteness import whiteness
from doodl.pretrained import Clip
from doodl.spreadsheets import neutral

COLUMNS = (
    *("method", "prompt", "seed", "image", "target", "category", "status"),
    *("guide_before", "guide_after", "judge_before", "judge_after"),
    *("right_before", "right_after", "wrong", "reason"),
    *("clip_before", "clip_after", "moved", "psnr", "lpips", "kept", "near"),
    *("updates", "calls", "gradient_calls", "equivalents", "flops", "seconds"),
    *("norm", "autocorrelation", "kurtosis", "low_frequencies"),
)
"""Columns of `evaluation.csv`."""
NETWORKS = ("guide", "judge")
"""Scores that depend on a network of the settings."""
Scores = dict[str, Any]
"""One row of `evaluation.csv`."""


@dataclass
class Scored:
    """A method with the scores of its generations.

    Args:
        method: the results.
        rows: scores by generation, with the names of `COLUMNS`.
    """

    method: Method
    rows: dict[Key, Scores]

    @property
    def name(self) -> str:
        """The method's name."""
        return self.method.name

    def values(self, column: str, category: str | None = None) -> dict[Key, float]:
        """Return the numbers of a column by generation, without missing ones.

        Args:
            column: name of a score.
            category: of the generations; None for all.
        """
        found = {
            key: number(row.get(column))
            for key, row in self.rows.items()
            if category in (None, row["category"])
        }
        return {key: value for key, value in found.items() if not math.isnan(value)}

    def network(self, part: str) -> str:
        """Return the guide or the judge that the method was made with, as one text."""
        return str(self.method.settings.get("model", {}).get(part))

    @property
    def categories(self) -> dict[Key, str]:
        """Category of each generation."""
        return {key: row["category"] for key, row in self.rows.items()}


@dataclass(frozen=True)
class Scorers:
    """The networks that score pictures again; None for those left out.

    Args:
        clip: a CLIP for `clip_before`, `clip_after` and `moved`.
        judge: names attributes, for `right` and the reason of a wrong verdict. By
            default recorded verdicts, and the judge that results were made with.
        lpips: name of LPIPS' network.
    """

    clip: Clip | None = None
    judge: Describes | None = None
    lpips: str | None = None


def score(method: Method, scorers: Scorers) -> Scored:
    """Return a method's scores.

    Args:
        method: its results.
        scorers: networks that see the pictures.
    """
    keys = list(method.results)
    rows = {key: _recorded(method, method.results[key]) for key in keys}
    for key in keys:
        result = method.results[key]
        if result.latents is not None:
            found = latents(result.latents, result.shot)
            rows[key] |= {} if found is None else whiteness(found)
    scored = Scored(method, rows)
    _count_flops(scored)
    judge_pictures(method, rows, scorers.judge)
    if scorers.clip is not None:
        _score_texts(scored, scorers.clip)
    _measure_movement(scored, scorers)
    return scored


def _count_flops(scored: Scored) -> None:
    cost = call_cost(scored.method.settings)
    for key, result in scored.method.results.items():
        calls = calls_made(result.row)
        if cost is not None and calls is not None:
            scored.rows[key]["flops"] = calls.flops(cost)


def _recorded(method: Method, result: Result) -> Scores:
    """Return what the manifest says."""
    row = result.row
    calls = calls_made(row)
    found: Scores = {
        "method": method.name,
        "prompt": result.prompt,
        "seed": result.seed,
        "image": result.image,
        "target": result.target,
        "category": result.category,
        "status": row.get("status", "finished"),
        "updates": row.get("updates"),
        "seconds": row.get("seconds"),
        "reason": row.get("reason") if row.get("status") == "failed" else None,
        "wrong": "failed" if row.get("status") == "failed" else None,
    }
    for ours, theirs in (("guide", "guide"), ("judge", "judge"), ("right", "verdict")):
        found[f"{ours}_before"] = known(row.get(f"{theirs}_first"))
        found[f"{ours}_after"] = known(row.get(f"{theirs}_best"))
    for name in ("guide", "judge"):  # a foreign manifest has one column for each
        if found[f"{name}_after"] is None:
            found[f"{name}_after"] = known(row.get(name))
    if calls is not None:
        found |= {"calls": calls.plain, "gradient_calls": calls.gradient}
        found["equivalents"] = calls.equivalents
    return found


def _with(
    scored: Scored, *names: str, prompted: bool = False
) -> tuple[list[Key], list[list[Path]]]:
    """Return the generations that have all of these pictures, and their files.

    With `prompted` they also have a prompt; an edit may have none.
    """
    results = scored.method.results
    wanted = (*names, "prompt") if prompted else names
    keys = [k for k in scored.rows if all(getattr(results[k], n) for n in wanted)]
    return keys, [[getattr(results[k], name) for k in keys] for name in names]


def _score_texts(scored: Scored, clip: Clip) -> None:
    for place in ("before", "after"):
        keys, (paths,) = _with(scored, place, prompted=True)
        prompts = [scored.method.results[key].prompt for key in keys]
        for key, value in zip(keys, clip_scores(paths, prompts, clip), strict=True):
            scored.rows[key][f"clip_{place}"] = value


def _measure_movement(scored: Scored, scorers: Scorers) -> None:
    keys, (before, after) = _with(scored, "before", "after")
    if not keys:
        return
    network = None if scorers.clip is None else ClipFeatures(scorers.clip)
    found = movements(before, after, network)
    if scorers.lpips is not None:
        found["lpips"] = lpips(before, after, scorers.lpips)
    for name, values in found.items():
        for key, value in zip(keys, values, strict=True):
            scored.rows[key][name] = value


def ordered(keys: Iterable[Key]) -> list[Key]:
    """Return generations by prompt, and those of a prompt by seed."""
    return sorted(keys, key=lambda key: (key[0], str(key[1])))


def to_csv(scored: Sequence[Scored]) -> str:
    """Return `evaluation.csv`: one row for each method and generation, by prompt."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for method in scored:
        writer.writerows(_plain(method.rows[key]) for key in ordered(method.rows))
    return text.getvalue()


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of `COLUMNS`, numbers with six digits."""
    return {
        name: f"{row[name]:.6g}"
        if isinstance(row.get(name), float)
        else neutral(row.get(name))
        for name in COLUMNS
    }
