"""Prompts with the settings that go with each, read strictly from a file.

A job may run for days on one file, so nothing is guessed: a line that is ambiguous or
incomplete is refused before the work starts, with the file's name and the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from doodl.files import is_unicode, named
from doodl.jobs.prompt_files import NAMES, TEXTS, Fields, read_records, refuse


@dataclass(frozen=True)
class Row:
    """One row of a file: a prompt and its settings, None for those not given.

    Attributes:
        prompt: the model's prompt, without surrounding space.
        negative_prompt: the model's negative prompt.
        guide_prompt: the guide's target text, by default the prompt.
        class_name: the classifier's target, a name or a number as text (`class`).
        image: the guide's target picture, a path as written in the file.
        seed: the only seed of this prompt, in place of the run's seeds.
        id: the user's name for the row.
        category: DrawBench's category.
        line: line at which the row begins, counted from 1; it does not count in
            comparisons of rows.
    """

    prompt: str
    negative_prompt: str | None = None
    guide_prompt: str | None = None
    class_name: str | None = None
    image: str | None = None
    seed: int | None = None
    id: str | None = None
    category: str | None = None
    line: int = field(default=0, compare=False)


def read_prompts(
    path: str | Path, categories: Sequence[str] | None = None
) -> list[Row]:
    """Return the rows of a file in its order.

    A `.txt` file has one prompt a line, a `.csv` file a header, and a `.jsonl` file one
    object a line. Columns or keys are `prompt` and optionally `negative_prompt`,
    `guide_prompt`, `class`, `image`, `seed` and `id`. A CSV with the columns `Prompts`
    and `Category` is DrawBench, whose repeated prompts are used once. Blank lines, a
    byte order mark and Windows line ends are ignored; an empty cell means not given.

    Args:
        path: path of the file, which is in UTF-8.
        categories: DrawBench categories to keep; by default all.

    Raises:
        ValueError: one sentence with the file and the line: the file cannot be read,
            is not in UTF-8, or has no prompts; a column or key is unknown or missing; a
            prompt is empty; a seed is not in [0, 2^63); two rows or ids are equal; or
            no row has a requested category.
    """
    path = named(path, "a file of prompts")
    rows = [_row(path, line, fields) for line, fields in read_records(path)]
    if categories is not None:
        rows = _selected(path, rows, categories)
    rows = _distinct(path, rows)
    if not rows:
        raise ValueError(f"Expected at least one prompt, received none in {path}.")
    return rows


def _row(path: Path, line: int, fields: Fields) -> Row:
    for name in (*TEXTS, *NAMES):
        value = fields.get(name)
        if name in NAMES and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not isinstance(value, str):
            refuse(path, line, f"a text for '{name}'", value)
        if value is not None:
            if not is_unicode(value):
                refuse(path, line, f"characters in '{name}'", "half of one")
            fields = fields | {name: value.strip()}
            if name != "prompt" and fields[name] == "null":
                refuse(path, line, f"words for '{name}'", "the text 'null'")
    if fields.get("prompt") in (None, "", "null"):
        refuse(path, line, "a prompt with at least one word", fields.get("prompt"))
    seed = fields.get("seed")
    whole = isinstance(seed, int) and not isinstance(seed, bool)
    if seed is not None and not (whole and 0 <= seed < 2**63):
        shown = repr(seed) if path.suffix == ".jsonl" else seed
        refuse(path, line, "a seed from 0 to 2^63 - 1", shown)
    return Row(
        prompt=fields["prompt"],
        negative_prompt=fields.get("negative_prompt"),
        guide_prompt=fields.get("guide_prompt") or None,
        class_name=fields.get("class") or None,
        image=fields.get("image") or None,
        seed=seed,
        id=fields.get("id") or None,
        category=fields.get("category"),
        line=line,
    )


def _distinct(path: Path, rows: list[Row]) -> list[Row]:
    """Refuse equal rows and ids; of DrawBench's repeated prompts, keep the first."""
    lines: dict[Any, int] = {}
    kept = []
    for row in rows:
        # Rows that differ only in name or category would make the same images.
        content = replace(row, id=None, category=None)
        keys: list[Any] = [content, row.id] if row.id else [content]
        for key in keys:
            if key in lines and row.category is None:
                name = "id" if key == row.id else "prompt"
                again = f"'{getattr(row, name)}' as in line {lines[key]}"
                refuse(path, row.line, f"a different {name} in each row", again)
        if content not in lines:
            kept.append(row)
        for key in keys:
            lines.setdefault(key, row.line)
    return kept


def _selected(path: Path, rows: list[Row], categories: Sequence[str]) -> list[Row]:
    """Return the rows of the given categories, and refuse a category without rows."""
    known = list(dict.fromkeys(row.category for row in rows if row.category))
    for category in categories:
        if category not in known:
            raise ValueError(
                f"Expected categories that stand in {path} "
                f"({', '.join(known) or 'it has none'}), received '{category}'."
            )
    return [row for row in rows if row.category in categories]
