"""What limits a comparison of methods, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from doodl.evaluation.records import opened
from doodl.evaluation.scores import NETWORKS, Scored
from doodl.evaluation.statistics import FEWEST, Key

CONDITIONS = {
    "pretrained": "the model",
    "num_steps": "the number of steps",
    "guidance_scale": "the guidance scale",
    "height": "the height",
    "width": "the width",
}
"""Settings that two methods should have in common, in words."""


def limits(methods: Sequence[Scored]) -> list[str]:
    """Return sentences on what methods do not have in common, and on few prompts."""
    return [
        *(note for part in NETWORKS for note in _differing_networks(methods, part)),
        *_unequal_conditions(methods),
        *_differing_originals(methods),
        *_unshared(methods),
        *_few_prompts(methods),
        *_selectors(methods),
    ]


def _unshared(methods: Sequence[Scored]) -> list[str]:
    """Return which pairs of methods do not have the same generations."""
    notes = []
    for a, b in combinations(methods, 2):
        common, every = a.rows.keys() & b.rows.keys(), a.rows.keys() | b.rows.keys()
        if common != every:
            notes.append(
                f"{a.name} and {b.name} have {len(common)} of {len(every)} generations "
                "in common: only these are compared."
            )
    return notes


def _few_prompts(methods: Sequence[Scored]) -> list[str]:
    """Return which methods, or pairs of them, have too few prompts to decide."""
    whole = _prompts(key for m in methods for key in m.rows)
    counts = {
        f"{a.name} and {b.name}": _prompts(a.rows.keys() & b.rows.keys())
        for a, b in combinations(methods, 2)
    }
    if set(counts.values()) <= {whole}:
        counts = {"All generations": whole}
    notes = []
    for names, count in counts.items():
        have = f"{names} have {count} prompt{'s' * (count != 1)}"
        have += "" if count == whole else " in common"
        if count < 2:
            notes.append(f"{have}: intervals need two or more, and are left out.")
        elif count < FEWEST:
            notes.append(
                f"{have}, too few to tell methods apart: that takes {FEWEST} or more."
            )
    return notes


def _prompts(keys: Iterable[Key]) -> int:
    return len({prompt for prompt, _ in keys})


def _differing_networks(methods: Sequence[Scored], part: str) -> list[str]:
    known = [m for m in methods if m.values(f"{part}_after")]
    used = Counter(m.network(part) for m in known)
    if len(used) < 2:
        return []
    usual = used.most_common(1)[0][0]
    rest = ", ".join(m.name for m in known if m.network(part) == usual)
    odd = [m.name for m in known if m.network(part) != usual]
    verb = "has" if len(odd) == 1 else "have"
    return [
        f"{' and '.join(odd)} {verb} another {part} than {rest}: {part} scores of "
        f"different {part}s are not compared."
    ]


def _unequal_conditions(methods: Sequence[Scored]) -> list[str]:
    """Return what methods do not have in common beside what they do to latents."""
    notes = []
    for name, words in CONDITIONS.items():
        values = {}
        for method in methods:
            value = method.method.settings.get("model", {}).get(name)
            if value is not None:
                values[method.name] = value
        if len(set(map(str, values.values()))) > 1:
            each = ", ".join(f"{method} ({value})" for method, value in values.items())
            notes.append(f"Methods differ in {words}: {each}.")
    return notes


def _differing_originals(methods: Sequence[Scored]) -> list[str]:
    """Return which methods start from another picture than the first one does."""
    first, *others = methods
    differing = []
    for method in others:
        ours, theirs = first.method.results, method.method.results
        pairs = (
            (ours[key].before, theirs[key].before) for key in ours if key in theirs
        )
        known = next(((a, b) for a, b in pairs if a and b), None)
        if known and _pixels(known[0]) != _pixels(known[1]):
            differing.append(method.name)
    if not differing:
        return []
    return [
        f"The originals of {', '.join(differing)} are not those of {first.name}; each "
        "method's changes are from its own."
    ]


def _pixels(path: Path) -> bytes:
    with opened(path) as file:
        return file.convert("RGB").tobytes()


def _selectors(methods: Sequence[Scored]) -> list[str]:
    """Return whether methods choose the picture that they report in different ways."""
    selectors = {
        str(result.row["selector"])
        for m in methods
        for result in m.method.results.values()
        if result.row.get("selector")
    }
    taken = {m.method.iterate for m in methods}
    if len(selectors) < 2 or (None not in taken and len(taken) < 2):
        return []
    return [
        "Some methods report the picture that the guide prefers, others the last; "
        "--iterate best and --iterate last treat all alike."
    ]
