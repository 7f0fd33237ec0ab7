"""Files of prompts: plain text, CSV or JSON lines, read strictly.

A job runs for days on what stands here, so nothing is guessed: what cannot be meant is
refused before the work starts, with the file's name and the line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

Fields = dict[str, Any]

TEXTS = ("prompt", "negative_prompt", "guide_prompt", "image")
NAMES = ("class", "id")
KEYS = (*TEXTS, *NAMES, "seed")
DRAWBENCH = {"Prompts": "prompt", "Category": "category"}
"""The columns of DrawBench as it was published, and what they are here."""


@dataclass(frozen=True)
class Row:
    """One line of a file: a prompt and what goes with it, None where not given.

    Attributes:
        prompt: what the model is asked for, without space around it.
        negative_prompt: what the model is led away from.
        guide_prompt: what the guide is asked for, if not the prompt.
        class_name: the classifier's target, a name or a number as text (`class`).
        image: the guide's target picture, a path as written in the file.
        seed: the only one for this prompt, in place of the run's.
        id: what the user calls it.
        category: DrawBench's.
        line: where it begins, counted from 1; two rows may differ in it and be equal.
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

    `.txt` has a prompt a line; `.csv` a header; `.jsonl` an object a line. Their
    columns or keys are `prompt` and, where wanted, `negative_prompt`, `guide_prompt`,
    `class`, `image`, `seed` and `id`. A CSV with the columns `Prompts` and `Category`
    is DrawBench's: a prompt that it repeats is taken once. Blank lines, a byte order
    mark and Windows line ends are passed over; an empty cell means not given.

    Args:
        path: of the file, in UTF-8.
        categories: of DrawBench, to keep only the prompts of these.

    Raises:
        ValueError: in one sentence with the file and the line: it is no such file, not
            in UTF-8, or has no prompts; a column or key is unknown or missing, a prompt
            is empty, a seed is not in [0, 2^63), two rows or ids are equal; a category
            is asked for that no row has.
    """
    path = Path(path)
    readers = {".txt": _lines, "": _lines, ".csv": _table, ".jsonl": _objects}
    if path.suffix.lower() not in readers:
        raise ValueError(
            f"Expected a file of prompts ending in .txt, .csv or .jsonl, received "
            f"{path}; convert it."
        )
    records = readers[path.suffix.lower()](path, _text(path))
    rows = [_row(path, line, fields) for line, fields in records]
    if categories is not None:
        rows = _selected(path, rows, categories)
    rows = _distinct(path, rows)
    if not rows:
        raise ValueError(f"Expected at least one prompt, received none in {path}.")
    return rows


# The three layouts: (line, fields) of each row ----------------------------------------


def _lines(path: Path, text: str) -> Iterator[tuple[int, Fields]]:
    for line, content in _numbered(text):
        yield line, {"prompt": content}


def _objects(path: Path, text: str) -> Iterator[tuple[int, Fields]]:
    for line, content in _numbered(text):
        try:
            pairs = json.loads(content, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            _refuse(path, line, 'an object like {"prompt": "a cat"}', content)
        if not isinstance(pairs, _Pairs):
            _refuse(path, line, 'an object like {"prompt": "a cat"}', content)
        names = [name for name, _ in pairs]
        _check_names(path, line, names, KEYS)
        yield line, dict(pairs)


def _table(path: Path, text: str) -> Iterator[tuple[int, Fields]]:
    header: list[str] = []
    for line, cells in _cells(path, text):
        if not header:
            header = cells
            drawbench = "Prompts" in header
            _check_names(path, line, header, tuple(DRAWBENCH) if drawbench else KEYS)
            if drawbench:
                header = [DRAWBENCH[name] for name in header]
            continue
        if len(cells) != len(header):
            expected = f"{len(header)} cells, with texts that hold a comma in quotes"
            _refuse(path, line, expected, f"{len(cells)}: {','.join(cells)}")
        fields: Fields = {k: v or None for k, v in zip(header, cells, strict=True)}
        seed = fields.get("seed")
        if seed and re.fullmatch(r"[0-9]{1,19}", seed):
            fields["seed"] = int(seed)
        yield line, fields


def _cells(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield where each row begins, which may be lines before its end, and its cells."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        _refuse(path, line, "cells divided by commas", str(error))


class _Pairs(list):
    """What a JSON object holds, with keys that stand there twice."""


def _text(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"Expected a file of prompts, received {path}; there is none.")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
        bad = text.find("\0")
        line = text.count("\n", 0, bad) + 1
    except UnicodeDecodeError as error:
        bad = error.start
        line = content.count(b"\n", 0, bad) + 1
    if bad >= 0:
        _refuse(path, line, "text in UTF-8", "another encoding")
    return text


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank; only line ends divide, unlike splitlines."""
    for line, content in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        if content.strip():
            yield line, content.strip()


# One row, and all of them -------------------------------------------------------------


def _row(path: Path, line: int, fields: Fields) -> Row:
    for name in (*TEXTS, *NAMES):
        value = fields.get(name)
        if name in NAMES and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not isinstance(value, str):
            _refuse(path, line, f"a text for '{name}'", value)
        if value is not None:
            if re.search("[\ud800-\udfff]", value):
                _refuse(path, line, f"characters in '{name}'", "half of one")
            fields = fields | {name: value.strip()}
    if not fields.get("prompt"):
        _refuse(path, line, "a prompt with at least one word", fields.get("prompt"))
    seed = fields.get("seed")
    whole = isinstance(seed, int) and not isinstance(seed, bool)
    if seed is not None and not (whole and 0 <= seed < 2**63):
        _refuse(path, line, "a seed from 0 to 2^63 - 1", seed)
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
    """Refuse equal rows and ids; what a benchmark repeats is passed over."""
    lines: dict[Any, int] = {}
    kept = []
    for row in rows:
        # Neither a name nor a category makes a row another one.
        content = replace(row, id=None, category=None)
        keys: list[Any] = [content, row.id] if row.id else [content]
        for key in keys:
            if key in lines and row.category is None:
                name = "id" if key == row.id else "prompt"
                again = f"'{getattr(row, name)}' as in line {lines[key]}"
                _refuse(path, row.line, f"a different {name} in each row", again)
        if content not in lines:
            kept.append(row)
        for key in keys:
            lines.setdefault(key, row.line)
    return kept


def _selected(path: Path, rows: list[Row], categories: Sequence[str]) -> list[Row]:
    """Keep the rows of some categories, each of which must have one."""
    known = list(dict.fromkeys(row.category for row in rows if row.category))
    for category in categories:
        if category not in known:
            raise ValueError(
                f"Expected categories that stand in {path} "
                f"({', '.join(known) or 'it has none'}), received '{category}'."
            )
    return [row for row in rows if row.category in categories]


def _check_names(
    path: Path, line: int, names: Sequence[str], known: Sequence[str]
) -> None:
    """Refuse columns or keys that are unknown, twice there, or without a prompt."""
    expected = f"'{known[0]}' and, where wanted, {', '.join(known[1:])}"
    for i, name in enumerate(names):
        if name not in known or name in names[:i]:
            again = " twice" if name in known else ""
            _refuse(path, line, expected, f"'{name}'{again}")
    if known[0] not in names:
        _refuse(path, line, expected, ", ".join(names) or "nothing")


def _refuse(path: Path, line: int, expected: str, received: object) -> NoReturn:
    """Raise with the place, in one line however long what was received is.

    Raises:
        ValueError: always.
    """
    text = " ".join(str(received).split())
    shown = text if len(text) <= 100 else f"{text[:97]}..."
    raise ValueError(
        f"{path}, line {line}: expected {expected}, received {shown or 'nothing'}."
    )
