"""A table's comparisons beside the paper's figures, and the sentence that ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from doodl.evaluation.headline import words
from doodl.evaluation.markdown import cell, table
from doodl.evaluation.statistics import (
    FEWEST,
    STANDINGS,
    Interval,
    Key,
    clustered_mean,
    compare,
)
from doodl.evaluation.summary import METRICS, Evaluation


@dataclass(frozen=True)
class Figure:
    """One comparison.

    Args:
        label: its name in the table.
        column: score that is compared.
        of: a method.
        to: the method that it is compared with.
        relative: whether the difference is given in percent of the mean of `to`.
        category: of the prompts that count; None for all.
        paper: what the paper reports, in its words.
    """

    label: str
    column: str
    of: str
    to: str
    relative: bool = False
    category: str | None = None
    paper: str = "–"


def measure(evaluation: Evaluation, figure: Figure) -> Interval | None:
    """Return a figure with its interval; None where a method or the score is missing.

    The interval of a relative figure is that of the difference, divided by the mean.
    """
    methods = {m.name: m for m in evaluation.methods}
    if not {figure.of, figure.to} <= methods.keys():
        return None
    first, second = (
        methods[name].values(figure.column, figure.category)
        for name in (figure.of, figure.to)
    )
    found = compare(first, second).difference
    base = clustered_mean(second).mean
    if not found.count or (figure.relative and base == 0):
        return None
    if figure.relative:
        scale = 100 / abs(base)
        values = {
            name: getattr(found, name) * scale for name in ("mean", "low", "high")
        }
        return replace(found, **values)
    return found


def figures_table(evaluation: Evaluation, figures: Sequence[Figure]) -> list[str]:
    """Return the figures as a table, the paper's in its last column."""
    rows = []
    for figure in figures:
        value = measure(evaluation, figure)
        title, factor = METRICS[figure.column]
        unit = "%" if figure.relative else " points" if factor == 100 else ""
        factor = 1 if figure.relative else factor
        text = "–" if value is None else cell(value, factor, signed=True) + unit
        prompts = "" if value is None else str(value.prompts)
        label = f"{figure.label} ({title})" if not figure.relative else figure.label
        rows.append([label, prompts, text, figure.paper])
    return table(["", "prompts", "here", "the paper"], rows) if rows else []


def conclusion(evaluation: Evaluation, column: str, ours: str) -> str:
    """Return one sentence: where a method is ahead, where behind, where neither."""
    title, factor = METRICS[column]
    values = {m.name: m.values(column) for m in evaluation.methods}
    return standing(values, ours, title, factor)


def standing(
    values: Mapping[str, Mapping[Key, float]], ours: str, title: str, factor: float = 1
) -> str:
    """Return the sentence of `conclusion` for scores by method and generation."""
    groups: dict[str, list[str]] = {name: [] for name in STANDINGS}
    for other, scores in values.items():
        found = compare(values[ours], scores).difference
        if other == ours or not found.count:
            continue
        if found.prompts < FEWEST:
            return f"By {title}, nothing is decided: {found.prompts} prompts are few."
        shown = cell(found, factor, signed=True)
        groups[found.standing].append(f"{other} ({shown})")
    parts = [f"{name} {words(names)}" for name, names in groups.items() if names]
    if not parts:
        return f"By {title}, {ours} is compared with no other method."
    return f"By {title}, {ours} is {words(parts)}."


def read_figures(found: Sequence[Mapping[str, Any]]) -> tuple[Figure, ...]:
    """Return the figures that a file of tables lists."""
    return tuple(Figure(**figure) for figure in found)


def sections(path: Path) -> str:
    """Return `evaluation.md` without its title, its headings one level lower."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return "\n".join(f"#{line}" if line.startswith("## ") else line for line in lines)
