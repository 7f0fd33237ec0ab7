"""What stands at the top of the report: what was found, and a tile of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from doodl.evaluation.markdown import cell, findings
from doodl.evaluation.scores import Scored
from doodl.evaluation.statistics import FEWEST, STANDINGS, Interval, clustered_mean
from doodl.evaluation.summary import MEANINGS, METRICS, Evaluation, gain

SHARES = (
    ("right_after", "right, %", 100),
    ("near", "near, %", 100),
    ("clip_after", "CLIP score", 1),
)
"""Further scores of a tile: columns, labels and factors."""


def headline(evaluation: Evaluation) -> tuple[str, str]:
    """Return what was found in one sentence, and a line on the figures behind it.

    Of two methods the better one is named first; of more, what the first one is ahead
    of, behind, and not told apart from.
    """
    methods, column = evaluation.methods, evaluation.headline
    if len(methods) == 1:
        return _change(methods[0], column), ""
    found = [
        (b.name, comparison.difference)
        for a, b, comparison in evaluation.pairs(column)
        if a is methods[0]
    ]
    lines = findings(evaluation)
    if not any(difference.known for _, difference in found):
        return words([m.name for m in methods]), lines[0] if len(lines) == 1 else ""
    if len(methods) > 2:
        meaning = MEANINGS[column]
        lead = f"Compared by {meaning}, on the same prompts and seeds."
        return _standing([m.name for m in methods], dict(found)), lead
    figures = lines[0].partition(": ")[2]
    lead = figures[:1].upper() + figures[1:]
    (other, difference), first = found[0], methods[0].name
    if not difference.excludes_zero:
        return f"{first} and {other} are not told apart", lead
    better, worse = (first, other) if difference.mean > 0 else (other, first)
    return f"{better} is ahead of {worse}", lead


def _change(method: Scored, column: str) -> str:
    """Return what one method does to the deciding score, if enough prompts tell."""
    change = gain(method, column.removesuffix("_after"))
    if change.prompts < FEWEST:
        return method.name
    verb = "raises" if change.mean > 0 else "lowers"
    verb = verb if change.excludes_zero else "does not clearly change"
    return f"{method.name} {verb} {MEANINGS[column]}"


def _standing(names: Sequence[str], found: Mapping[str, Interval]) -> str:
    """Return where the first method stands among the others.

    Args:
        names: of all methods.
        found: difference of the first method to others, by their names.
    """
    known = {name: found[name] for name in names if name in found and found[name].known}
    groups = {
        standing: [name for name, d in known.items() if d.standing == standing]
        for standing in STANDINGS
    }
    every = f"all {len(names) - 1} others"
    parts = [
        f"{verb} {every if len(group) == len(names) - 1 > 2 else words(group)}"
        for verb, group in groups.items()
        if group
    ]
    sentence = f"{names[0]} is {words(parts, ', and ' if len(parts) > 2 else ' and ')}"
    unknown = [name for name in names[1:] if name not in known]
    return f"{sentence}; {words(unknown)}: not compared" if unknown else sentence


def words(names: Sequence[str], last: str = " and ") -> str:
    """Return a list in words: `a, b and c`."""
    return last.join(filter(None, [", ".join(names[:-1]), names[-1]]))


def title(evaluation: Evaluation) -> str:
    """Return the name of the page: its methods, three at most."""
    names = [method.name for method in evaluation.methods]
    if len(names) > 3:
        names = [*names[:2], f"{len(names) - 2} more"]
    return f"{words(names)} – doodl report"


def summary(evaluation: Evaluation) -> str:
    """Return how much was made: generations, prompts and methods."""
    prompts = {prompt for m in evaluation.methods for prompt, _ in m.rows}
    total = sum(len(m.rows) for m in evaluation.methods)
    several = len(evaluation.methods) > 1
    names = f", {len(evaluation.methods)} methods" if several else ""
    return f"{total} generations, {len(prompts)} prompts{names}"


def tile(evaluation: Evaluation, method: Scored) -> dict[str, Any]:
    """Return the headline of one method: change of the deciding score, and cost."""
    part = evaluation.headline.removesuffix("_after")
    label, factor = METRICS[evaluation.headline]
    before = method.values(f"{part}_before")
    changes = {
        key: value - before[key]
        for key, value in method.values(f"{part}_after").items()
        if key in before
    }
    signs = {
        "better": sum(v > 0 for v in changes.values()),
        "equal": sum(v == 0 for v in changes.values()),
        "worse": sum(v < 0 for v in changes.values()),
    }
    lines = []
    for name, short, scale in SHARES:
        after = clustered_mean(method.values(name))
        if after.count and name != evaluation.headline:
            lines.append((short, cell(after, scale)))
    calls = clustered_mean(method.values("equivalents"))
    if calls.count:
        lines.append(("network calls", f"{calls.mean:,.0f}"))
    flops = clustered_mean(method.values("flops"))
    if flops.count:
        lines.append(("TFLOP", f"{flops.mean / 1e12:,.3g}"))
    value = (
        gain(method, part)
        if changes
        else clustered_mean(method.values(evaluation.headline))
    )
    shown, _, limits = cell(value, factor, signed=bool(changes)).partition(" ")
    return {
        "name": method.name,
        "label": f"{label}{', change' if changes else ''}",
        "value": shown,
        "limits": limits,
        "signs": signs if changes else {},
        "lines": lines,
    }
