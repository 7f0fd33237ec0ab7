"""Output for terminals: escaped control characters, and streams that may close."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

ItemT = TypeVar("ItemT")

HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff]"
)
"""Control and bidirectional characters, which can hide or alter displayed text."""


def shown(text: object) -> str:
    """Replace every harmful character by its escape sequence."""
    return HARMFUL.sub(
        lambda match: match[0].encode("unicode_escape").decode(), str(text)
    )


def line(text: object) -> str:
    """Return a text in one line, with harmful characters escaped."""
    return shown(" ".join(str(text).split()))


def counted(items: Sequence[ItemT], noun: str) -> Iterator[ItemT]:
    """Yield items; on a terminal, show a line of progress once a second.

    Args:
        items: the items.
        noun: what they are, in the plural.
    """
    shown_at, width = time.monotonic(), 0
    for i, item in enumerate(items):
        if i % 64 == 0 and time.monotonic() - shown_at > 1 and sys.stderr.isatty():
            text = f"doodl: checking {noun}, {i} of {len(items)}"
            width, shown_at = len(text), time.monotonic()
            print(text, end="\r", file=sys.stderr, flush=True)
        yield item
    if width:
        print(" " * width, end="\r", file=sys.stderr, flush=True)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide what Lightning tells about itself and the machine during the block."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        for logger in loggers:
            logger.setLevel(max(logging.WARNING, logger.getEffectiveLevel()))
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


class Display:
    """Output stream that discards text once the underlying stream is closed or full.

    Args:
        stream: standard output or error, or None if the process has none.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream: TextIO = stream or open(os.devnull, "w")  # noqa: SIM115

    def write(self, text: str) -> int:
        """Write a text; escape characters that the encoding lacks."""
        try:
            try:
                return self._stream.write(text)
            except UnicodeEncodeError:
                code = self._stream.encoding or "ascii"
                plain = text.encode(code, "backslashreplace").decode(code)
                return self._stream.write(plain)
        except (OSError, ValueError):
            self._end()
            return len(text)

    def flush(self) -> None:
        """Flush the buffer."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._end()

    def _end(self) -> None:
        """Redirect to the null device, which also receives the flush at exit."""
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError):
            self._stream = open(os.devnull, "w")  # noqa: SIM115

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def forgiving_output() -> Iterator[None]:
    """Continue the block when standard output or error is closed or full."""
    before = sys.stdout, sys.stderr
    displays = Display(before[0]), Display(before[1])
    sys.stdout, sys.stderr = displays  # type: ignore[assignment]
    try:
        yield
    finally:
        for display in displays:
            display.flush()
        sys.stdout, sys.stderr = before
