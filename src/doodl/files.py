"""Checked reading and atomic writing of files."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

MOST_BYTES = 2**30
"""Size of the largest file that is read, 1 GiB."""


def is_unicode(text: str) -> bool:
    """Return whether a text has no half of a character, as from bytes of no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def named(path: str | os.PathLike[str], what: str) -> Path:
    """Return a path that a user wrote, with `~` expanded.

    Args:
        path: the path as written.
        what: noun for error messages, for example "a picture".

    Raises:
        ValueError: the path is empty, contains a zero byte, is the text "null" or
            "none", or begins with the `~` of an unknown user.
    """
    text = os.fspath(path)
    if not text.strip() or "\0" in text:
        raise ValueError(f"Expected the path of {what}, received an empty text.")
    if text.strip().lower() in ("null", "none"):
        raise ValueError(
            f"Expected the path of {what}, received the text '{text}'; leave the "
            f"setting out, or write './{text}'."
        )
    if not is_unicode(text):
        raise ValueError(
            f"Expected the path of {what} in UTF-8, received {text!r}; rename it."
        )
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:  # of a user who does not exist
        reason = str(error).rstrip(".")
        raise ValueError(f"Could not find {what} at '{text}': {reason}.") from error
    if any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise ValueError(
            f"Expected names of at most 255 bytes in the path of {what}, received "
            f"'{text[:60]}...'; choose a shorter one."
        )
    return path


def readable(path: str | os.PathLike[str], what: str, most: int = MOST_BYTES) -> Path:
    """Return the path of a regular file of limited size.

    Args:
        path: the path as a user wrote it.
        what: noun for error messages, for example "a picture".
        most: largest size in bytes.

    Raises:
        ValueError: the path is missing, a folder, a pipe, a device, or too large.
    """
    place = named(path, what)
    try:
        found = os.stat(place)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            reason = "there is none"
        else:
            reason = error.strerror or str(error)
        shown = str(path) if len(str(path)) <= 200 else f"{str(path)[:197]}..."
        raise ValueError(f"Expected {what} at '{shown}'; {reason}.") from error
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    if not stat.S_ISREG(found.st_mode):
        kind = kinds.get(stat.S_IFMT(found.st_mode), "device")
        raise ValueError(
            f"Expected {what} at '{path}', found a {kind}; give the path of a file."
        )
    if found.st_size > most:
        raise ValueError(
            f"Expected {what} of at most {most / 2**20:.3g} MiB at '{path}', found "
            f"{found.st_size / 2**20:.3g} MiB; give a smaller file."
        )
    return place


def read(path: str | os.PathLike[str], what: str, most: int = MOST_BYTES) -> bytes:
    """Return the content of a file that `readable` accepts.

    Raises:
        ValueError: the file cannot be read; the message gives the reason.
    """
    place = readable(path, what, most)
    try:
        return place.read_bytes()
    except OSError as error:
        raise ValueError(f"Could not read '{path}': {error.strerror}.") from error


def read_text(path: str | os.PathLike[str], what: str, most: int = MOST_BYTES) -> str:
    """Return the content of a text file in UTF-8.

    Raises:
        ValueError: the file cannot be read; the message gives the reason.
    """
    try:
        return read(path, what, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected text in UTF-8 in '{path}', received another encoding; save it "
            "as UTF-8."
        ) from error


def read_table(path: str | os.PathLike[str], what: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file in UTF-8.

    Raises:
        ValueError: the file cannot be read; the message gives the reason.
    """
    text = read_text(path, what)
    try:
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(f"Could not read '{path}' as CSV: {error}.") from error


def folder_at(path: str | os.PathLike[str], what: str) -> Path:
    """Return a folder that a user named, which is made if it is missing.

    Raises:
        ValueError: there is something else, or it cannot be made.
    """
    place = named(path, what)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"Could not make {what} '{path}': {error.strerror}; choose another."
        ) from error
    return place


def write(path: Path, content: bytes) -> None:
    """Write a file atomically: readers see the whole content or no new file.

    Args:
        path: the file; an existing one is replaced. Its folder must exist.
        content: the bytes of the file.
    """
    temporary = _temporary(path, content)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def create(path: Path, content: bytes) -> bool:
    """Write a file only if it does not exist; return whether it was written.

    If several processes call this at the same moment, exactly one writes the file.
    """
    temporary = _temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        return _create_directly(path, content)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def hold(folder: Path, alone: Callable[[], None]) -> Callable[[], None]:
    """Take a shared lock on a folder; return the function that releases it.

    The operating system releases the lock when the process ends. On file systems
    without locks (some network ones), nothing is locked and `alone` is always called.

    Args:
        folder: an existing folder.
        alone: called under an exclusive lock if no other process holds the folder.
    """
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except OSError as error:  # another process holds it, or there are no locks here
        free = not isinstance(error, BlockingIOError)
    if free:
        alone()
    with contextlib.suppress(OSError):
        fcntl.flock(number, fcntl.LOCK_SH)
    held = contextlib.ExitStack()
    held.callback(os.close, number)
    return held.close  # a second call does nothing


def _temporary(path: Path, content: bytes) -> Path:
    """Write a temporary file beside `path`, to be renamed or linked to it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _create_directly(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True
