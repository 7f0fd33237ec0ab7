"""Cells of CSV files that spreadsheets do not take for formulas."""

from __future__ import annotations

from typing import Any

FORMULA = tuple("=+-@'\t\r")
"""First characters of a text that gets an apostrophe before it."""


def neutral(value: Any) -> Any:
    """Return a cell that no spreadsheet evaluates; numbers stay numbers."""
    formula = isinstance(value, str) and value.startswith(FORMULA)
    return f"'{value}" if formula else value


def original(cell: str) -> str:
    """Inverse of `neutral` for texts."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in FORMULA else cell
