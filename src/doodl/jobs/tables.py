"""`manifest.csv` and `timings.csv`: derived from the folders of the generations."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doodl.files import is_unicode, read, write
from doodl.spreadsheets import neutral

COLUMNS = (
    "id",
    "prompt",
    "seed",
    "status",
    "updates",
    "guide_first",
    "guide_best",
    "judge_first",
    "judge_best",
    "verdict_first",
    "verdict_best",
    "selector",
    "folder",
    "reason",
    "calls",
    "gradient_calls",
)
"""Columns of `manifest.csv`."""
SCORE = (float, int, type(None))
SCORES = ("guide_first", "guide_best", "judge_first", "judge_best")
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("prompt", "selector", "folder"), (str,)),
    **dict.fromkeys(("seed", "updates"), (int,)),
    **dict.fromkeys(SCORES, SCORE),
    **dict.fromkeys(("verdict_first", "verdict_best"), (bool, type(None))),
    "reason": (str, type(None)),
    "files": (list,),
}
"""Types of the values of a summary."""
REQUIRED = {"prompt", "seed"}
"""Keys that every summary has; without another one, its value is unknown."""
LARGEST = 1e300
"""Scores beyond which a summary was not written here."""
STATUSES = ("finished", "stopped", "failed", "sampled")
TIMES = ("id", "seconds")
"""Columns of `timings.csv`, apart because seconds differ from run to run."""

TIMING = "timing.json"
SUMMARY = "summary.json"
"""Written last into a generation's folder: a folder that has it is complete."""

HEADERS = tuple(",".join(columns) + "\n" for columns in (COLUMNS, TIMES))

SHARE = 0.002
"""Largest share of a process's time that `Tables.refresh` spends on the tables."""


@dataclass(frozen=True)
class Entry:
    """A finished generation as the tables list it.

    Args:
        changed: time of modification of its summary, in nanoseconds.
        row: content of its summary.
        lines: its line of the manifest, and of the timings.
    """

    changed: int
    row: dict[str, Any]
    lines: tuple[str, str]


class Tables:
    """Builds both tables from the folders of all generations.

    Every process of a job writes the same tables, because the rows come from the files
    and are sorted by folder name. A build looks at every folder, so its cost grows with
    the job: during the work `refresh` limits it to `SHARE` of the time, and at its end
    every process calls `write`.

    Args:
        folder: the results folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, Entry] = {}
        self._next = 0.0

    def row(self, name: str) -> dict[str, Any] | None:
        """Return the row of a generation's folder, or None if it is not finished."""
        changed = self._changed(name)
        entry = None if changed is None else self._entry(name, changed)
        return None if entry is None else entry.row

    def refresh(self) -> None:
        """Write the tables, unless that would exceed `SHARE` of the time."""
        began = time.monotonic()
        if began < self._next:
            return
        self.write()
        ended = time.monotonic()
        self._next = ended + (ended - began) / SHARE

    def write(self) -> None:
        """Write the tables.

        Other processes may do the same at any time. Each looks again after it has
        written, so that the last table to be written has the rows of all.
        """
        written: list[tuple[str, int]] = []
        while (found := self._scan()) != written:
            entries = [e for item in found if (e := self._entry(*item)) is not None]
            for i, name in enumerate(("manifest.csv", "timings.csv")):
                lines = [HEADERS[i], *(entry.lines[i] for entry in entries)]
                write(self.folder / name, "".join(lines).encode())
            written = found

    def _scan(self) -> list[tuple[str, int]]:
        """Return the sorted names of all finished generations, and `Entry.changed`."""
        if not self.folder.is_dir():
            return []
        with os.scandir(self.folder) as found:
            names = sorted(entry.name for entry in found if _is_folder(entry))
        times = [(name, self._changed(name)) for name in names]
        return [(name, changed) for name, changed in times if changed is not None]

    def _changed(self, name: str) -> int | None:
        try:
            return os.stat(os.path.join(self.folder, name, SUMMARY)).st_mtime_ns
        except OSError:
            return None

    def _entry(self, name: str, changed: int) -> Entry | None:
        """Return what the tables list; files are read again if the summary is newer.

        A broken summary is no entry: the generation is made again.
        """
        entry = self._entries.get(name)
        if entry is None or entry.changed != changed:
            row = _read(self.folder / name / SUMMARY)
            if row is None or not _is_row(row, name):
                return None
            row = dict.fromkeys(COLUMNS) | row
            timing = _read(self.folder / name / TIMING) or {}
            timed = row | {"seconds": timing.get("seconds")}
            lines = _line(timed, COLUMNS), _line(timed, TIMES)
            entry = self._entries[name] = Entry(changed, row, lines)
        return entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(read(path, "a summary"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _is_row(row: dict[str, Any], name: str) -> bool:
    """Return whether a summary is that of a folder and its values have their types."""
    typed = all(isinstance(row[key], TYPES[key]) for key in row.keys() & TYPES.keys())
    ours = row.get("id") == name and row.get("status") in STATUSES
    return typed and ours and row.keys() >= REQUIRED and not _strange(row)


def _strange(row: dict[str, Any]) -> bool:
    """Return whether a summary has a value of a right type that nothing can use."""
    scores = [row.get(key) for key in SCORES]
    if any(isinstance(score, bool) or abs(score or 0) > LARGEST for score in scores):
        return True
    texts = [row["prompt"], *(row.get("files") or [])]
    return not all(is_unicode(str(text)) for text in texts)


def _line(row: dict[str, Any], columns: tuple[str, ...]) -> str:
    text = io.StringIO()
    cells = [neutral(row.get(name)) for name in columns]
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
