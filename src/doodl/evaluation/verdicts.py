"""Why a picture is not what was asked for: the attributes that a judge finds wrong."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from doodl.generation import Generation

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
    faults = [[k for k, allowed in r.items() if seen[k] not in allowed] for r in wanted]
    best = min(range(len(wanted)), key=lambda i: len(faults[i]))
    if not faults[best]:
        return Verdict(True)
    if "layout" in faults[best] and seen["layout"] in ("one", "other"):
        # With another number of objects, the rest of the description means nothing.
        asked = _words(wanted[best]["layout"])
        return Verdict(False, ("count",), f"{seen['layout']} instead of {asked}")
    parts = [
        f"{name.replace('_', ' ')} {seen[name]} instead of {_words(wanted[best][name])}"
        for name in faults[best]
    ]
    return Verdict(
        False, tuple(dict.fromkeys(map(_kind, faults[best]))), "; ".join(parts)
    )


def _kind(name: str) -> str:
    return KINDS.get(name.rpartition("_")[2], name)


def _words(classes: set[str]) -> str:
    return " or ".join(sorted(classes))


def make_judge(description: Any) -> Describes | None:
    """Return the judge that results were made with, if it names attributes.

    Only classes of this package are constructed, because a folder of results may come
    from anywhere.

    Args:
        description: `{"class_path": ..., "init_args": {...}}` of the settings, or a
            class path that the user gave.
    """
    if isinstance(description, str):
        description = {"class_path": description}
        trusted = True
    else:
        trusted = False
    if not isinstance(description, Mapping):
        return None
    module, _, name = str(description.get("class_path")).rpartition(".")
    if not trusted and module.partition(".")[0] != "doodl":
        return None
    try:
        judge = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"There is no judge '{module}.{name}': {error}.") from error
    if not hasattr(judge, "describe") or not hasattr(judge, "wanted"):
        return None
    return judge(**description.get("init_args", {}))
