"""Limits the texts and files that the parser reads as settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from jsonargparse.typing import path_type

from doodl.files import read_text

MOST_BYTES = 2**20
"""Size of the largest file of settings."""
MOST_ALIASES = 8
"""Aliases in YAML beyond which a text is taken for a bomb."""
SETTINGS = (".yaml", ".yml", ".json")
"""Suffixes of files of settings; the parser reads others as well, such as prompts."""


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


def check_inline(arguments: Sequence[str]) -> None:
    """Refuse settings in the arguments themselves that would not be read as written.

    Raises:
        ValueError: an argument repeats a key, has too many aliases, or an octal number.
    """
    for argument in arguments:
        value = argument.partition("=")[2] if argument[:2] == "--" else argument
        what = f"The option '{argument[:40]}...'"
        refuse_bombs(value, what)
        if value.lstrip().startswith(("{", "[")):
            try:
                with suppress(yaml.YAMLError, RecursionError):  # the parser refuses it
                    settings_in(value)
            except ValueError as error:
                raise ValueError(f"{what}: {error}.") from error


def plain_text(path: str) -> str:
    """Return the text of a file that an option names.

    Raises:
        ValueError: it cannot be read, is too large, is full of aliases, repeats a key,
            or has an octal number.
    """
    text = read_text(path, "a config", MOST_BYTES)
    refuse_bombs(text)
    if path.endswith(SETTINGS):
        try:
            with suppress(yaml.YAMLError, RecursionError):
                settings_in(text)
        except ValueError as error:
            raise ValueError(f"'{Path(path).name}': {error}") from error
    return text


def settings_in(text: str) -> Any:
    """Return the plain values that a text of YAML holds.

    Raises:
        ValueError: a key is repeated, a number octal, or there are too many aliases.
        yaml.YAMLError: it is no YAML.
        RecursionError: it is nested too deeply.
    """
    refuse_bombs(text)
    return yaml.load(text, _Strict)  # a SafeLoader


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


class _Strict(yaml.SafeLoader):
    """Reads plain values only, and refuses what YAML reads as nobody means it."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    _refuse_repeats(node)
    values = loader.construct_mapping(node, deep=True)
    for key in filter(lambda k: isinstance(k, str) and "." in k, values):
        group, _, rest = key.partition(".")
        if isinstance(values.get(group), dict) and rest in values[group]:
            raise ValueError(f"'{key}' also stands below '{group}'; remove one")
    return values


def _refuse_repeats(node: yaml.MappingNode) -> None:
    places: dict[str, tuple[int, int]] = {}
    for key, value in node.value:
        if key.value == "<<" and isinstance(value, yaml.MappingNode):
            _refuse_repeats(value)  # it is merged without being constructed
        place = key.start_mark.line + 1, key.start_mark.column
        if isinstance(key.value, str) and places.setdefault(key.value, place) != place:
            raise ValueError(
                f"the key '{key.value}' of line {places[key.value][0]} stands in line "
                f"{place[0]} again; remove one"
            )


def _number(loader: _Strict, node: yaml.ScalarNode) -> int:
    """Return a whole number, unless YAML 1.1 takes 010 for 8, or 1:30 for 90."""
    value, text = loader.construct_yaml_int(node), node.value.replace("_", "")
    decimal = int(text) if text.lstrip("+-").isdecimal() else value
    if value != decimal or ":" in text:
        meant = str(decimal) if value != decimal else f'"{text}" with its quotes'
        raise ValueError(f"'{text}' would be read as {value}; write {meant}")
    return int(value)


_Strict.add_constructor("tag:yaml.org,2002:map", _mapping)
_Strict.add_constructor("tag:yaml.org,2002:int", _number)
