"""Why a picture is not what was asked for: the attributes that a judge finds wrong."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from doodl.generation import Generation
from doodl.remedies import place

Reading = Mapping[str, set[str]]
"""The classes that are allowed for each attribute."""
KINDS = {
    "layout": "relation",
    "background": "background",
    "size": "size",
    "kind": "object",
    "colour": "colour",
    "pattern": "pattern",
}
"""What a reason is called, by the last word of the attribute's name."""


class Describes(Protocol):
    """A judge that names attributes, as `doodl.shapes.judge.AttributeJudge`."""

    def load(self, device: Any = "cpu") -> None:
        """Load its networks."""

    def describe(self, pixels: Tensor) -> list[dict[str, str]]:
        """Return the class of each attribute, one dict a picture."""

    def wanted(self, generation: Generation) -> Sequence[Reading] | None:
        """Return what a prompt allows; one reading is enough. None if unknown."""


LAYOUTS = {
    "one": "one object",
    "vertical": "two objects one above the other",
    "horizontal": "two objects side by side",
    "other": "no object or more than two",
}
"""Layouts of the attribute judge, in words."""
PLACES = {
    "one": ("the", "second"),
    "vertical": ("upper", "lower"),
    "horizontal": ("left", "right"),
}
"""Words for the first and the second object of a layout."""


@dataclass(frozen=True)
class Verdict:
    """What a judge finds.

    Args:
        right: whether the picture is what was asked for; None if unknown.
        kinds: what is wrong, in words of `KINDS`, for filters and counts.
        reason: the same with the classes seen and wanted, for readers.
    """

    right: bool | None
    kinds: tuple[str, ...] = ()
    reason: str = ""


def explain(seen: Mapping[str, str], wanted: Sequence[Reading] | None) -> Verdict:
    """Return a verdict with its reason, by the reading that comes closest.

    Args:
        seen: the class of each attribute.
        wanted: readings of the prompt, or None if it is not understood.
    """
    if not wanted:
        return Verdict(None)
    faults = [wrong_in(seen, reading) for reading in wanted]
    best = min(range(len(wanted)), key=lambda i: len(faults[i]))
    reading, wrong = wanted[best], faults[best]
    if not wrong:
        return Verdict(True)
    if "layout" in wrong and _number(seen["layout"]) != _number(*reading["layout"]):
        # With another number of objects, the rest of the description means nothing.
        found, asked = seen["layout"], _words(reading["layout"])
        return Verdict(False, ("count",), f"{LAYOUTS.get(found, found)}, not {asked}")
    if not wrong_in(exchanged(seen), reading):
        return Verdict(False, ("relation",), "the two objects are exchanged")
    places = PLACES.get(seen.get("layout", ""), ("first", "second"))
    parts = [_fault(name, seen[name], reading[name], places) for name in wrong]
    return Verdict(False, tuple(dict.fromkeys(map(_kind, wrong))), "; ".join(parts))


def wrong_in(seen: Mapping[str, str], reading: Reading) -> list[str]:
    """Return the names of attributes that a reading does not allow."""
    return [n for n, allowed in reading.items() if seen.get(n) not in allowed]


def exchanged(seen: Mapping[str, str]) -> dict[str, str]:
    """Return a description with its first object second."""
    other = {"first": "second", "second": "first"}
    halves = {name: name.partition("_") for name in seen}
    return {
        f"{other.get(head, head)}{link}{tail}": seen[name]
        for name, (head, link, tail) in halves.items()
    }


def _number(*layouts: str) -> int:
    """Return the number of objects of a layout, 0 for a crowd."""
    return {"one": 1, "other": 0}.get(layouts[0], 2)


def _fault(name: str, found: str, asked: set[str], places: tuple[str, str]) -> str:
    if name == "layout":
        return f"{LAYOUTS.get(found, found)}, not {_words(asked)}"
    words = name
    for number, where in zip(("first", "second"), places, strict=True):
        words = words.replace(f"{number}_", f"{where} object's ")
    return f"{words} is {found}, not {_words(asked)}"


def _kind(name: str) -> str:
    return KINDS.get(name.rpartition("_")[2], name)


def _words(classes: set[str]) -> str:
    return " or ".join(sorted(LAYOUTS.get(name, name) for name in classes))


def make_judge(description: Any) -> Describes | None:
    """Return the judge that results were made with, if it names attributes.

    Only classes of this package are constructed, because a folder of results may come
    from anywhere. A class that the user gave may also be in the current folder.

    Args:
        description: `{"class_path": ..., "init_args": {...}}` of the settings, or a
            class path that the user gave.
    """
    if isinstance(description, str):
        description = {"class_path": description}
        trusted = True
        if "" not in sys.path:
            sys.path.append("")
    else:
        trusted = False
    if not isinstance(description, Mapping):
        return None
    module, _, name = str(description.get("class_path")).rpartition(".")
    if not trusted and module.partition(".")[0] != "doodl":
        return None
    judge = _found(module, name)
    methods = ("load", "describe", "wanted")
    if not isinstance(judge, type) or not all(hasattr(judge, m) for m in methods):
        return None
    given = description.get("init_args") or {}
    # Arguments of a stranger may have any type; a user's own class is given none.
    wrong = TypeError if trusted else (TypeError, AttributeError)
    try:
        return judge(**given)
    except wrong as error:
        raise ValueError(
            f"Expected arguments that {module}.{name} takes, received {given}: {error}."
        ) from error


def _found(module: str, name: str) -> Any:
    """Return what a module of the user or of this package calls by this name."""
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        if where := place(error):  # the module is there, and cannot be imported
            raise ValueError(
                f"Could not import the judge '{module}.{name}'{where}: {error}; "
                "correct that line, or install what it needs."
            ) from error
        raise ValueError(
            f"There is no judge '{module}.{name}': {error}; give a class as "
            "MODULE.CLASS."
        ) from error
