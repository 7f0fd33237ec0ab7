"""What a user can do about common exceptions of other packages."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from doodl.tracebacks import message_of, user_frame


def place(error: BaseException) -> str:
    """Return the file and line of the user that an exception came from, or nothing."""
    frame = user_frame(error)
    return f" ({Path(frame.filename).name}, line {frame.lineno})" if frame else ""


def remedy(cause: BaseException, folder: Path | None) -> str | None:
    """Return a sentence with the remedy for common errors, otherwise None.

    Args:
        cause: the exception.
        folder: the results folder of a job that has begun.
    """
    if isinstance(cause, MemoryError):
        return "The memory of this machine is used up; lower --data.batch_size."
    if isinstance(cause, OSError):
        return _of_files(cause, folder)
    text = message_of(cause)
    twice = re.search("more than one stateful callback of type `(\\w+)`", text)
    if twice:
        return (
            f"Expected one callback {twice[1]}, received two; leave out that of "
            "--trainer.callbacks."
        )
    unhashable = re.search("unhashable type: '(\\w+)'", text)
    if unhashable and type(cause) is TypeError:
        return (
            f"Expected a class {unhashable[1]} whose objects can be hashed, received "
            "one that compares by value; write @dataclass(eq=False)."
        )
    if type(cause).__name__ == "RepresenterError":  # of YAML
        return (
            f"Expected settings that a configuration can hold, received {cause.args[1]}"
            "; give that setting as a text or a number."
        )
    if "before Module.__init__() call" in text:
        return (
            f"Expected a call of super().__init__() at the beginning of __init__"
            f"{place(cause)}, received an assignment before it; add the call."
        )
    return None


def _of_files(cause: OSError, folder: Path | None) -> str | None:
    """Return the remedy for what the system says about a file."""
    where = f"'{folder}'" if folder else "the results folder"
    known = {
        errno.ENOSPC: f"The disk of {where} is full; free some space",
        errno.EDQUOT: f"The quota of the disk of {where} is used up; free some space",
        errno.EROFS: f"The disk of {where} cannot be written to; make it writable",
    }
    if cause.errno in known:
        return f"{known[cause.errno]} and give the same command again, which goes on."
    if cause.errno in (errno.EACCES, errno.EPERM):
        return (
            f"'{cause.filename}' is not open to this user; change its permissions, as "
            "with chmod, and give the same command again, which goes on."
        )
    if cause.errno in (errno.EISDIR, errno.EEXIST, errno.ENOTDIR):
        return (
            f"Something else is in the place of '{cause.filename2 or cause.filename}'; "
            "remove it, and give the same command again, which goes on."
        )
    if cause.errno == errno.ENOENT and folder and not folder.is_dir():
        return (
            f"The results folder {where} has disappeared during the job; restore it, "
            "or give the same command again to start again."
        )
    return None
