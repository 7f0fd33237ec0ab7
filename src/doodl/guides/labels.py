"""Labels: the names of a classifier's classes."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path


def find_class(target: str | int, names: Mapping[int, str]) -> int:
    """Return the index of a class.

    Args:
        target: index or name of the class; digits are an index if no class has that
            name.
        names: names by index; empty if the classes have no names.

    Raises:
        ValueError: no class or several classes have the name, or the index is negative
            or beyond the last name.
    """
    if isinstance(target, str):
        found = [index for index, name in names.items() if name == target]
        if len(found) > 1:
            raise ValueError(
                f"The labels have '{target}' {len(found)} times, as classes "
                f"{', '.join(map(str, found))}; give the index as target."
            )
        if found:
            return found[0]
        if not target.isdecimal():
            raise ValueError(_unknown(target, list(names.values())))
        target = int(target)
    if target < 0 or (names and target > max(names)):
        raise ValueError(
            f"Expected a target of 0 or more, received {target}."
            if not names
            else f"Expected a target from 0 to {max(names)}, the classes of the "
            f"labels, received {target}."
        )
    return target


def check_class(target: int, count: int) -> None:
    """Refuse a class that a classifier of `count` classes does not have.

    Raises:
        ValueError: `target` is `count` or more.
    """
    if target >= count:
        raise ValueError(
            f"Expected a target from 0 to {count - 1}, the classes of this "
            f"classifier, received {target}."
        )


def read_labels(path: Path) -> dict[int, str]:
    """Return the names of classes by index.

    Args:
        path: text file with one name a line, or `.json` file with a list of names or a
            mapping between names and indices.

    Raises:
        ValueError: the file is missing or empty, or its content is something else.
    """
    if not path.is_file():
        raise ValueError(f"There is no label file at '{path}'; give a file of names.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = (
            _from_json(json.loads(text))
            if path.suffix == ".json"
            else dict(enumerate(line.strip() for line in text.strip().splitlines()))
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected one name a line, or a JSON list or mapping, in the label file "
            f"'{path}': {error}."
        ) from error
    if not names:
        raise ValueError(f"Expected at least one name in '{path}', found none.")
    return names


def _from_json(content: object) -> dict[int, str]:
    """Return names by index from a list, `{index: name}` or `{name: index}`."""
    if isinstance(content, list):
        pairs = list(enumerate(content))
    elif isinstance(content, dict):
        inverse = all(isinstance(value, int) for value in content.values())
        pairs = [(int(v), k) if inverse else (int(k), v) for k, v in content.items()]
    else:
        raise ValueError(f"it holds a {type(content).__name__}")
    for index, name in pairs:
        if not isinstance(name, str) or index < 0:
            raise ValueError(f"it gives class {index} the name {name!r}")
    return dict(pairs)


def _unknown(target: str, names: Sequence[str]) -> str:
    if not names:
        return (
            f"Expected the target as an index, received '{target}'; give a file of "
            "labels to choose it by name."
        )
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(target.lower(), by_lower, n=3)
    examples = [by_lower[name] for name in close] or names[:3]
    return (
        f"No class is named '{target}' among {len(names)} labels; "
        f"{'did you mean' if close else 'the first are'} "
        f"{', '.join(repr(name) for name in examples)}{'?' if close else '.'}"
    )
