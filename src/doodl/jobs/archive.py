"""What is kept on the disk: finished generations, and how far begun ones have come.

Every file is written under another name and moved into place, so that none is ever half
there, and every process builds the same tables from the folders that it finds.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from doodl.files import write
from doodl.generation import Generation

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
)
"""Of `manifest.csv`."""

TIMING = "timing.json"
SUMMARY = "summary.json"
"""Written last into a generation's folder: where it is, the folder is complete."""


class Archive:
    """A results folder: one folder a generation, `manifest.csv`, and `.state`.

    Args:
        folder: made by `open` if it is missing.

    Raises:
        ValueError: the path, or one above it, is a file.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._known: dict[Path, tuple[int | None, dict[str, Any] | None]] = {}
        for path in (self.folder, *self.folder.parents):
            if path.exists() and not path.is_dir():
                raise ValueError(
                    f"The results folder '{folder}' cannot be made, since '{path}' "
                    "is a file; choose another with --results.folder."
                )

    def open(self, settings: Mapping[str, Any]) -> None:
        """Make the folder, and refuse it if its images were made in another way.

        Args:
            settings: all that changes an image, as JSON can hold it.

        Raises:
            ValueError: it cannot be written to, or holds other settings.
        """
        path = self.folder / "settings.json"
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (path.is_file() and self._begun()):
                write(path, json.dumps(settings, indent=2).encode())
        self.check(settings)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse what `open` would, and leave nothing behind.

        Raises:
            ValueError: likewise.
        """
        made = [p for p in (self.folder, *self.folder.parents) if not p.exists()]
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.folder / f".writable-{os.getpid()}", b"")
            (self.folder / f".writable-{os.getpid()}").unlink()
            for folder in made:
                folder.rmdir()
        path = self.folder / "settings.json"
        if not (path.is_file() and self._begun()):
            return
        try:
            there = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(
                f"Could not read the settings of these results, '{path}': {error}; "
                "choose another --results.folder."
            ) from error
        changed = differences(there, json.loads(json.dumps(settings)))
        if changed:
            raise ValueError(
                f"The results in '{self.folder}' were made with other settings: "
                f"{'; '.join(changed)}; choose another --results.folder, or remove it."
            )

    def _begun(self) -> bool:
        """Return whether there is anything that was made with the folder's settings."""
        made = (self.folder.glob(f"*/{SUMMARY}"), self.folder.glob(".state/*.pt"))
        return any(True for paths in made for _ in paths)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ValueError(
                f"Cannot write to the results folder '{self.folder}': {error.strerror}."
            ) from error

    def digest(self) -> str:
        """Return eight characters that stand for the settings."""
        content = (self.folder / "settings.json").read_bytes()
        return hashlib.blake2b(content, digest_size=4).hexdigest()

    # Finished generations ---------------------------------------------------------

    def row(self, generation: Generation) -> dict[str, Any] | None:
        """Return a generation's row of the manifest, if it is there."""
        return self._read(self.folder / generation.id / SUMMARY)

    def remaining(self, batch: Sequence[Generation]) -> list[Generation]:
        """Return those of a batch that still have to be made.

        A batch that was begun is ended as it was begun: its images are bit for bit
        those of an undisturbed run. A failed generation is tried again.
        """
        if self._state(batch).is_file():
            return list(batch)
        rows = [self.row(generation) for generation in batch]
        return [
            generation
            for generation, row in zip(batch, rows, strict=True)
            if row is None or row["status"] == "failed"
        ]

    def save(
        self,
        generation: Generation,
        files: Mapping[str, bytes],
        row: Mapping[str, Any],
    ) -> None:
        """Write a generation's files, and its row last."""
        folder = self.folder / generation.id
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            write(folder / name, content)
        write(folder / SUMMARY, json.dumps(row, indent=2).encode())

    def write_tables(self) -> None:
        """Build `manifest.csv` and `timings.csv` from the folders.

        Other processes do the same at any time; whoever writes last looks once more,
        so that the last table has every row.
        """
        written: list[Path] = []
        while (found := sorted(self.folder.glob(f"*/{SUMMARY}"))) != written:
            read = ((self._read(p), self._read(p.parent / TIMING)) for p in found)
            rows = [row | (timing or {}) for row, timing in read if row is not None]
            write(self.folder / "manifest.csv", _table(rows, COLUMNS))
            write(self.folder / "timings.csv", _table(rows, ("id", "seconds")))
            written = found

    def _read(self, path: Path) -> dict[str, Any] | None:
        """Return what a file of the archive says; it is read again if it changes.

        One that is not there, or broken, says nothing: its generation is made again.
        """
        try:
            changed = path.stat().st_mtime_ns
            known, content = self._known.get(path, (None, None))
            if known != changed:
                content = json.loads(path.read_text())
                self._known[path] = changed, content
        except (OSError, ValueError):
            return None
        return content

    # Begun batches ----------------------------------------------------------------

    def save_state(self, batch: Sequence[Generation], state: Mapping[str, Any]) -> None:
        """Keep how far a batch has come."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        path = self._state(batch)
        path.parent.mkdir(exist_ok=True)
        write(path, buffer.getvalue())

    def load_state(self, batch: Sequence[Generation]) -> dict[str, Any] | None:
        """Return how far a batch has come, if it was begun."""
        path = self._state(batch)
        if not path.is_file():
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # whatever torch raises of a file that is broken
            warnings.warn(
                f"Could not read the state '{path}'; its generations begin again.",
                stacklevel=2,
            )
            return None

    def drop_state(self, batch: Sequence[Generation]) -> None:
        """Forget a batch's state, for it is finished."""
        self._state(batch).unlink(missing_ok=True)

    def _state(self, batch: Sequence[Generation]) -> Path:
        names = "\n".join(generation.id for generation in batch).encode()
        key = hashlib.blake2b(names, digest_size=8).hexdigest()
        return self.folder / ".state" / f"{key}.pt"


def differences(there: Any, here: Any, key: str = "") -> list[str]:
    """Return "key: old, now new" wherever two nested settings differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        found = []
        for name in sorted(there.keys() | here.keys()):
            inner = f"{key}.{name}" if key else name
            found += differences(there.get(name), here.get(name), inner)
        return found
    return [] if there == here else [f"{key} was {there}, is {here}"]


def _table(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
