"""The table of scores that a job prints at its end."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table


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
            escape(row["prompt"]),
            str(row["seed"]),
            _change(row["guide_first"], row["guide_best"]),
            _change(row["judge_first"], row["judge_best"]),
            row["reason"]
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
