"""Limits the files that the parser reads as settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import yaml
from jsonargparse.typing import path_type

from doodl.files import read

MOST_BYTES = 2**20
"""Size of the largest file of settings."""
MOST_ALIASES = 8
"""Aliases in YAML beyond which a text is taken for a bomb."""


@contextmanager
def limited_files() -> Iterator[None]:
    """Let the parser read regular files of moderate size only, during the block.

    jsonargparse reads every file that an option names, whether it is one of settings
    or gigabytes of weights, and waits for pipes.
    """
    kind: Any = next(k for k in path_type("fr").__mro__ if k.__name__ == "Path")
    name = "read_text" if "read_text" in vars(kind) else "get_content"
    original = getattr(kind, name)
    setattr(kind, name, lambda path, *_: plain_text(str(path.absolute)))
    try:
        yield
    finally:
        setattr(kind, name, original)


def plain_text(path: str) -> str:
    """Return the text of a file of settings.

    Raises:
        ValueError: it cannot be read, is too large, or is full of aliases.
    """
    text = read(path, "a config", MOST_BYTES).decode("utf-8")
    refuse_bombs(text)
    return text


def refuse_bombs(text: str, what: str = "it") -> None:
    """Refuse YAML with more than `MOST_ALIASES` aliases, whose reading may not end.

    Args:
        text: the YAML, or any other text.
        what: subject of the error message.

    Raises:
        ValueError: stating how many there are.
    """
    aliases = 0
    if "&" in text:
        with suppress(yaml.YAMLError):  # no YAML, for example a prompt
            aliases = sum(isinstance(t, yaml.AliasToken) for t in yaml.scan(text))
    if aliases > MOST_ALIASES:
        raise ValueError(f"{what} has {aliases} aliases; write the values out")
