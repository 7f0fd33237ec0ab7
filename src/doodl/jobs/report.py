"""The table of scores that a job prints at its end."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from doodl.terminal import line

COLUMNS = ("prompt", "seed", "guide", "judge", "verdict")
MOST = 64
"""Rows that the table shows at most."""


def scores_table(rows: list[dict[str, Any]]) -> Table:
    """Return a table of first and best scores, one row a generation.

    Its footer has the means of the scores, and how many pictures were right.

    Args:
        rows: rows of the manifest.
    """
    done = [row for row in rows if row["status"] != "failed"]
    footers = _totals(done) if len(done) > 1 else dict.fromkeys(COLUMNS, "")
    table = Table(
        box=None, header_style="bold", footer_style="bold", show_footer=len(done) > 1
    )
    for name in COLUMNS:
        side: Literal["left", "right"] = "left" if name == "prompt" else "right"
        table.add_column(name, footer=footers[name], justify=side)
    for row in rows[:MOST]:
        table.add_row(
            escape(line(row["prompt"] or row["id"])),
            str(row["seed"]),
            _change(row["guide_first"], row["guide_best"]),
            _change(row["judge_first"], row["judge_best"]),
            escape(line(row["reason"]))
            if row["status"] == "failed"
            else _change(row["verdict_first"], row["verdict_best"]),
        )
    return table


def _totals(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the footer of every column: means, and how many pictures are right."""
    totals = {"prompt": f"mean of {len(rows)} generations", "seed": ""}
    for name in ("guide", "judge"):
        pairs = [(row[f"{name}_first"], row[f"{name}_best"]) for row in rows]
        known = [pair for pair in pairs if None not in pair]
        first, best = ([pair[i] for pair in known] for i in (0, 1))
        totals[name] = (
            _change(fmean(first), fmean(best)) if known else _change(None, None)
        )
    verdicts = [(row["verdict_first"], row["verdict_best"]) for row in rows]
    known = [pair for pair in verdicts if None not in pair]
    before, after = (sum(pair[i] for pair in known) for i in (0, 1))
    right = f"{before} → {after} of {len(known)} right"
    return totals | {"verdict": right if known else _change(None, None)}


def _change(first: float | bool | None, best: float | bool | None) -> str:
    return f"{_cell(first)} → {_cell(best)}"


def _cell(value: float | bool | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "right" if value else "wrong"
    return f"{value:.3f}"


def print_report(rows: list[dict[str, Any]], total: int, folder: Path) -> None:
    """Print the scores of a job, and where its files are.

    Args:
        rows: those of the manifest that belong to the job.
        total: number of the job's generations.
        folder: the results folder.
    """
    console = Console()
    if rows:
        console.print(scores_table(rows))
    if len(rows) > MOST:
        console.out(f"and {len(rows) - MOST} more", highlight=False)
    if missing := total - len(rows):
        left = f"{missing} not finished yet: the same command goes on with them"
        console.out(left, highlight=False)
    # As plain text: brackets in a path are no markup, and a path has one line.
    console.out(f"Pictures and manifest.csv: {line(folder)}", highlight=False)
    log = folder / "tensorboard"
    if log.is_dir():
        console.out(f"Curves: tensorboard --logdir {line(log)}", highlight=False)
