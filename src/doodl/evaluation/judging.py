"""Whether the pictures of a method are right, and if not, why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from statistics import fmean
from typing import Any

from torch import Tensor

from doodl.evaluation.folders import Method
from doodl.evaluation.layouts import Result
from doodl.evaluation.metrics import batches
from doodl.evaluation.statistics import Key
from doodl.evaluation.verdicts import (
    Describes,
    Reading,
    Verdict,
    explain,
    make_judge,
)
from doodl.generation import Generation


def judge_pictures(
    method: Method, rows: Mapping[Key, dict[str, Any]], given: Describes | None
) -> None:
    """Fill in `right_before`, `right_after`, `wrong`, `reason` and `kept`.

    Args:
        method: its results.
        rows: its scores by generation.
        given: a judge whose verdicts replace the recorded ones; with None the judge
            that the results were made with judges what has no verdict.
    """
    judge = given or _own_judge(method)
    if judge is None:
        return
    if given is not None:
        for row in rows.values():
            row["right_before"] = row["right_after"] = None
    described: dict[str, dict[Key, Mapping[str, str]]] = {}
    for place in ("before", "after"):
        keys = [key for key, r in method.results.items() if getattr(r, place)]
        paths = [getattr(method.results[key], place) for key in keys]
        seen = [one for pixels in batches(paths) for one in _described(judge, pixels)]
        described[place] = dict(zip(keys, seen, strict=True))
        for key, found in described[place].items():
            _fill(rows[key], place, found, judge, method.results[key])

    _note_unjudged(method, rows, all_of_them=given is not None)
    for key in described["before"].keys() & described["after"].keys():
        old, new = described["before"][key], described["after"][key]
        if old:
            rows[key]["kept"] = fmean(old[name] == new.get(name) for name in old)


def _described(judge: Describes, pixels: Tensor) -> Sequence[Mapping[str, str]]:
    """Return the attributes of pictures, which a judge of the user's own names.

    Raises:
        ValueError: the judge returns something else.
    """
    found = judge.describe(pixels)
    listed = isinstance(found, Sequence) and len(found) == len(pixels)
    if not listed or not all(map(_is_description, found)):
        raise ValueError(
            f"Expected a list of {len(pixels)} dicts, one a picture, from "
            f"{type(judge).__name__}.describe, received {found!r:.80}; return the "
            "class of each attribute, as texts."
        )
    return found


def _is_description(found: object) -> bool:
    return isinstance(found, Mapping) and _are_texts([*found, *found.values()])


def _is_reading(found: object) -> bool:
    return (
        isinstance(found, Mapping)
        and _are_texts(found)
        and all(isinstance(v, Set | list | tuple) for v in found.values())
        and all(map(_are_texts, found.values()))
    )


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _note_unjudged(
    method: Method, rows: Mapping[Key, dict[str, Any]], *, all_of_them: bool
) -> None:
    """Say how many pictures with a prompt lack a verdict.

    A job's own judge need not read every prompt: unless all of them count, those do of
    which a picture was asked for.
    """
    lost = [
        result
        for key, result in method.results.items()
        if result.after and rows[key]["right_after"] is None
        if result.prompt and (all_of_them or result.image)
    ]
    if not lost:
        return
    first = lost[0]
    what = f"'{first.prompt}'"
    if first.image:
        what += f", or the picture that they were asked for as '{first.image}'"
    method.notes.append(
        f"{len(lost)} of {len(rows)} pictures of {method.name} have no verdict: the "
        f"judge cannot read {what}."
    )


def _own_judge(method: Method) -> Describes | None:
    judge = make_judge(method.settings.get("model", {}).get("verdict"))
    if judge is not None:
        judge.load()
    return judge


def _fill(
    row: dict[str, Any],
    place: str,
    seen: Mapping[str, str],
    judge: Describes,
    result: Result,
) -> None:
    """Say of one picture whether it is right, and of a result why it is not."""
    plain = Generation(result.prompt, result.seed)
    asked = replace(plain, target=result.target, image=result.image)
    whole = _explained(judge, seen, asked)
    if row[f"right_{place}"] is None and whole.right is not None:
        row[f"right_{place}"] = float(whole.right)
    right = row[f"right_{place}"]
    if place == "before" or row["wrong"] or right is None or right:
        return
    alone = _explained(judge, seen, plain)
    fault = whole if whole.right is False else alone
    if alone.right:  # the class or the picture that was asked for is missing
        fault = Verdict(False, ("target",), "not the target asked for")
    row["wrong"] = " ".join(fault.kinds) or None
    row["reason"] = fault.reason or None


def _explained(judge: Describes, seen: Mapping[str, str], asked: Generation) -> Verdict:
    """Return the verdict on a picture.

    Raises:
        ValueError: the judge names no class of an attribute that matters.
    """
    wanted = _wanted(judge, asked)
    lacking = {name for reading in wanted or () for name in reading} - seen.keys()
    if lacking:
        raise ValueError(
            f"Expected the class of {', '.join(sorted(map(repr, lacking)))} from "
            f"{type(judge).__name__}.describe, as its `wanted` names, received none; "
            "let both name the same attributes."
        )
    return explain(seen, wanted)


def _wanted(judge: Describes, asked: Generation) -> Sequence[Reading] | None:
    """Return what is asked for; None also if its picture cannot be read.

    Raises:
        ValueError: the judge, a class of the user's own, returns something else.
    """
    try:
        found = judge.wanted(asked)
    except ValueError:
        if asked.image is None:
            raise
        return None
    listed = isinstance(found, Sequence) and all(map(_is_reading, found))
    if found is not None and not listed:
        raise ValueError(
            f"Expected a list of readings from {type(judge).__name__}.wanted, received "
            f"{found!r:.80}; return None, or dicts with the set of classes that is "
            "allowed for each attribute."
        )
    return found
