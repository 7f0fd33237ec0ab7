"""Tells code of this package, of the user and of libraries apart in tracebacks."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TypeAlias

PACKAGE = Path(__file__).parent
FOLDERS = (PACKAGE, PACKAGE.parents[1] / "callbacks")
"""Folders of this package's source; in a checkout, the callbacks have their own."""
LIBRARIES = (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), "<")
"""Beginnings of the paths of files that the user did not write."""

Frame: TypeAlias = traceback.FrameSummary | None


def message_of(error: BaseException) -> str:
    """Return the message of an exception, whose own code for it may fail."""
    try:
        return str(error)
    except Exception:
        return ""


def raised_here(error: BaseException) -> bool:
    """Return whether an exception was raised by a line of this package.

    Not one that a function of Python itself raised, which has no line of its own.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not is_ours(frames[-1].filename):
        return False
    line = frames[-1].line or "raise"  # the source may be missing
    return line.startswith("raise")


def user_frame(error: BaseException) -> Frame:
    """Return the innermost frame in a file of the user, or None."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if is_users(frame.filename)]
    return users[-1] if users else None


def is_ours(file: str) -> bool:
    """Return whether a file belongs to this package."""
    return any(folder in Path(file).parents for folder in FOLDERS)


def is_users(file: str) -> bool:
    """Return whether a file belongs neither to this package nor to a library."""
    library = file.startswith(LIBRARIES) or "site-packages" in file
    return not library and not is_ours(file)
