"""The results folder: finished generations, and the state of begun batches.

Every file is written under a temporary name and moved into place, so that a process may
be killed at any moment and leaves no incomplete file behind.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from doodl.files import create, hold, named, read, write
from doodl.generation import Generation
from doodl.jobs.records import image_digest, is_whole
from doodl.jobs.tables import SUMMARY, Tables


class Archive:
    """A results folder: one folder a generation, the tables, and `.state`.

    Args:
        folder: its path; `open` creates it if it is missing.

    Attributes:
        tables: `manifest.csv` and `timings.csv`.

    Raises:
        ValueError: the path, or one above it, is a file.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = named(folder, "the results folder")
        self._settings = b""
        self._close: Callable[[], None] = lambda: None
        self.tables = Tables(self.folder)
        for path in (self.folder, *self.folder.parents):
            if os.path.exists(path) and not os.path.isdir(path):  # or not permitted
                raise ValueError(
                    f"The results folder '{folder}' cannot be made, since '{path}' "
                    "is a file; choose another with --results.folder."
                )

    def open(self, settings: Mapping[str, Any]) -> None:
        """Create the folder, or refuse one whose images were made with other settings.

        Args:
            settings: every setting that changes an image, as JSON can store it.

        Raises:
            ValueError: the folder cannot be written to, or has other settings.
        """
        path = self.folder / "settings.json"
        content = json.dumps(settings, indent=2).encode()
        self._close()
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._close = hold(
                self.folder, lambda: None if self._begun() else write(path, content)
            )
            if not self._begun():  # results without settings are refused
                create(path, content)
        # Compared even where nothing is made yet: others may be working here.
        self._compare(settings)
        self._settings = path.read_bytes()

    def close(self) -> None:
        """Let other settings have the folder, if it has no results."""
        self._close()

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse the folders that `open` refuses, and create nothing.

        Raises:
            ValueError: the folder cannot be written to, or has other settings.
        """
        made = [p for p in (self.folder, *self.folder.parents) if not p.exists()]
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.folder / f".writable-{os.getpid()}", b"")
            (self.folder / f".writable-{os.getpid()}").unlink()
            for folder in made:
                folder.rmdir()
        if self._begun():
            self._compare(settings)

    def _compare(self, settings: Mapping[str, Any]) -> None:
        """Refuse a folder that belongs to other settings, or to unknown ones."""
        path = self.folder / "settings.json"
        if not path.exists():
            raise ValueError(
                f"The folder '{self.folder}' has results, but no settings.json that "
                "says how they were made; put it back, or choose another "
                "--results.folder."
            )
        try:
            there = json.loads(read(path, "the settings of these results"))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"Could not read the settings of these results, '{path}' "
                f"({str(error).rstrip('.')}); choose another --results.folder."
            ) from error
        changed = differences(there, json.loads(json.dumps(settings)))
        if changed:
            raise ValueError(
                f"The results in '{self.folder}' were made with other settings: "
                f"{'; '.join(changed)}; choose another --results.folder, or remove it."
            )

    def _begun(self) -> bool:
        """Return whether the folder has results, which bind it to its settings."""
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
        """Return a hash of the settings that were compared, eight characters long."""
        content = self._settings or (self.folder / "settings.json").read_bytes()
        return hashlib.blake2b(content, digest_size=4).hexdigest()

    # Finished generations ---------------------------------------------------------

    def row(self, generation: Generation) -> dict[str, Any] | None:
        """Return a generation's row of the manifest, or None if it is not finished."""
        return self.tables.row(generation.id)

    def remaining(self, batch: Sequence[Generation]) -> list[Generation]:
        """Return the generations of a batch that still have to be made.

        A batch that was begun stays whole, so that its images are bit-identical to
        those of an undisturbed run. A failed generation is tried again, and so is one
        whose reference picture has changed.
        """
        left = [g for g in batch if not self._has(g.id) or self._outdated(g)]
        return list(batch) if left and self._state(batch).is_file() else left

    def _has(self, name: str) -> bool:
        """Return whether a generation is finished, and its files are whole."""
        row = self.tables.row(name)
        return row is not None and row["status"] != "failed" and not self._lacks(row)

    def _outdated(self, generation: Generation) -> bool:
        known = (self.row(generation) or {}).get("image_digest")
        return known not in (None, image_digest(generation))

    def _lacks(self, row: Mapping[str, Any]) -> bool:
        """Return whether a file of a finished generation is missing or damaged."""
        names = row.get("files")
        folder = self.folder / str(row["id"])
        return not all(is_whole(folder / str(name)) for name in names or [])

    def save(
        self,
        generation: Generation,
        files: Mapping[str, bytes],
        row: Mapping[str, Any],
    ) -> None:
        """Write a generation's files, and last its row as the summary."""
        folder = self.folder / generation.id
        if folder.is_symlink() or folder.is_file():  # a damaged folder is repaired
            folder.unlink()
        folder.mkdir(exist_ok=True)
        row = {**row, "files": sorted(name for name in files if files[name])}
        last = {SUMMARY: json.dumps(row, indent=2).encode()}
        for name, content in {**files, **last}.items():
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
            write(folder / name, content)

    # Begun batches ----------------------------------------------------------------

    def save_state(self, batch: Sequence[Generation], state: Mapping[str, Any]) -> None:
        """Write the state from which a batch can continue."""
        buffer = io.BytesIO()
        names = [generation.id for generation in batch]
        torch.save({**state, "generations": names}, buffer)
        path = self._state(batch)
        path.parent.mkdir(exist_ok=True)
        write(path, buffer.getvalue())

    def load_state(self, batch: Sequence[Generation]) -> dict[str, Any] | None:
        """Return the saved state of a batch, or None if there is none to read."""
        path = self._state(batch)
        return self._read_state(path) if path.is_file() else None

    def _read_state(self, path: Path) -> dict[str, Any] | None:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # torch raises many kinds for a broken file
            warnings.warn(
                f"Could not read the state '{path}'; its generations begin again.",
                stacklevel=2,
            )
            return None

    def drop_state(self, batch: Sequence[Generation]) -> None:
        """Remove the state of a finished batch."""
        self._state(batch).unlink(missing_ok=True)

    def drop_outdated_states(self) -> None:
        """Remove the states of batches that were finished with another batch size."""
        for path in filter(Path.is_file, self.folder.glob(".state/*.pt")):
            names = (self._read_state(path) or {}).get("generations")
            if names and all(map(self._has, names)):
                path.unlink(missing_ok=True)

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
    same = there == here or json.dumps(there) == json.dumps(here)  # also of NaN
    return [] if same else [f"{key} was {there}, is {here}"]
