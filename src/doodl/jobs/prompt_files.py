"""The three layouts of a file of prompts: plain text, CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from doodl.files import read

Fields = dict[str, Any]

TEXTS = ("prompt", "negative_prompt", "guide_prompt", "image")
NAMES = ("class", "id")
KEYS = (*TEXTS, *NAMES, "seed")
"""Columns of a CSV, or keys of a JSON object."""
DRAWBENCH = {"Prompts": "prompt", "Category": "category"}
"""The columns of DrawBench as it was published, and their names here."""


def read_records(path: Path) -> Iterator[tuple[int, Fields]]:
    """Yield the line at which each row begins, counted from 1, and its fields.

    Args:
        path: path of the file; its ending selects the layout.

    Raises:
        ValueError: the file is missing, has another ending or encoding, or a row does
            not have the layout; the sentence names the file and the line.
    """
    layouts = {".txt": _lines, "": _lines, ".csv": _table, ".jsonl": _objects}
    if path.suffix.lower() not in layouts:
        raise ValueError(
            f"Expected a file of prompts ending in .txt, .csv or .jsonl, received "
            f"{path}; convert it."
        )
    yield from layouts[path.suffix.lower()](path, _text(path))


def _lines(path: Path, text: str) -> Iterator[tuple[int, Fields]]:
    for line, content in _numbered(text):
        yield line, {"prompt": content}


def _objects(path: Path, text: str) -> Iterator[tuple[int, Fields]]:
    for line, content in _numbered(text):
        try:
            pairs = json.loads(content, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            refuse(path, line, 'an object like {"prompt": "a cat"}', content)
        if not isinstance(pairs, _Pairs):
            refuse(path, line, 'an object like {"prompt": "a cat"}', content)
        names = [name for name, _ in pairs]
        _check_names(path, line, names, KEYS)
        yield line, dict(pairs)


def _table(path: Path, text: str) -> Iterator[tuple[int, Fields]]:
    header: list[str] = []
    for line, cells in _cells(path, text):
        if not header:
            header = cells
            if len(header) == 1 and re.search(r"[;\t|]", header[0]):
                received = f"'{header[0]}'; save it with commas"
                refuse(path, line, "columns divided by commas", received)
            drawbench = "Prompts" in header
            _check_names(path, line, header, tuple(DRAWBENCH) if drawbench else KEYS)
            if drawbench:
                header = [DRAWBENCH[name] for name in header]
            continue
        if len(cells) != len(header):
            expected = f"{len(header)} cells, with texts that hold a comma in quotes"
            refuse(path, line, expected, f"{len(cells)}: {','.join(cells)}")
        fields: Fields = {k: v or None for k, v in zip(header, cells, strict=True)}
        seed = fields.get("seed")
        if seed and re.fullmatch(r"[0-9]{1,19}", seed):
            fields["seed"] = int(seed)
        yield line, fields


def _cells(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line at which each row begins, and its cells; a cell may have lines."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        expected = "cells divided by commas, with every quote closed"
        refuse(path, line, expected, str(error))


class _Pairs(list):
    """The pairs of a JSON object; unlike a dictionary, it keeps repeated keys."""


def _text(path: Path) -> str:
    content = read(path, "a file of prompts")
    try:
        text = content.decode("utf-8-sig")
        bad = text.find("\0")
        line = text.count("\n", 0, bad) + 1
    except UnicodeDecodeError as error:
        bad = error.start
        line = content.count(b"\n", 0, bad) + 1
    if bad >= 0:
        refuse(path, line, "text in UTF-8", "another encoding; save it as UTF-8")
    return text


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank.

    Lines end at line feeds and carriage returns only; `splitlines` has further ones.
    """
    for line, content in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        if content.strip():
            yield line, content.strip()


def _check_names(
    path: Path, line: int, names: Sequence[str], known: Sequence[str]
) -> None:
    """Refuse columns or keys that are unknown, repeated, or lack the prompt."""
    expected = f"'{known[0]}' and, where wanted, {', '.join(known[1:])}"
    for i, name in enumerate(names):
        if name not in known or name in names[:i]:
            again = " twice" if name in known else ""
            refuse(path, line, expected, f"'{name}'{again}")
    if known[0] not in names:
        refuse(path, line, expected, ", ".join(names) or "nothing")


def refuse(path: Path, line: int, expected: str, received: object) -> NoReturn:
    """Raise an error that names file and line.

    Args:
        path: path of the file.
        line: counted from 1.
        expected: what the line should have.
        received: what the line has; the message quotes at most 100 characters of it.

    Raises:
        ValueError: always.
    """
    text = " ".join(str(received).split())
    shown = text if len(text) <= 100 else f"{text[:97]}..."
    raise ValueError(
        f"{path}, line {line}: expected {expected}, received {shown or 'nothing'}."
    )
