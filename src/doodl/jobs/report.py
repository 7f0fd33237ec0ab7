"""The table of scores that a job prints at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from doodl.terminal import line

MOST = 64
"""Rows that the table shows at most."""


def scores_table(rows: list[dict[str, Any]]) -> Table:
    """Return a table of first and best scores, one row a generation.

    Args:
        rows: rows of the manifest.
    """
    table = Table(box=None, header_style="bold")
    for name in ("prompt", "seed", "guide", "judge", "verdict"):
        table.add_column(name, justify="left" if name == "prompt" else "right")
    for row in rows:
        table.add_row(
            escape(line(row["prompt"])),
            str(row["seed"]),
            _change(row["guide_first"], row["guide_best"]),
            _change(row["judge_first"], row["judge_best"]),
            escape(line(row["reason"]))
            if row["status"] == "failed"
            else _change(row["verdict_first"], row["verdict_best"]),
        )
    return table


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
        console.print(scores_table(rows[:MOST]))
    if len(rows) > MOST:
        console.out(f"and {len(rows) - MOST} more", highlight=False)
    if missing := total - len(rows):
        left = f"{missing} not finished yet: the same command goes on with them"
        console.out(left, highlight=False)
    # As plain text: brackets in a path are no markup, and a path has one line.
    console.out(f"Pictures and manifest.csv: {folder}", highlight=False)
    log = folder / "tensorboard"
    if log.is_dir():
        console.out(f"Curves: tensorboard --logdir {log}", highlight=False)
