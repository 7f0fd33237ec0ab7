"""The comparison of methods on all that was scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import median

from doodl.evaluation.records import opened
from doodl.evaluation.scores import Scored
from doodl.evaluation.statistics import FEWEST, Comparison, Interval, compare

METRICS = {
    "guide_after": ("guide", 1),
    "judge_after": ("judge", 1),
    "right_after": ("right", 100),
    "clip_after": ("CLIP score", 1),
    "near": ("right and near", 100),
    "moved": ("moved", 1),
    "kept": ("attributes kept", 100),
    "psnr": ("PSNR", 1),
    "lpips": ("LPIPS", 1),
    "equivalents": ("calls", 1),
    "flops": ("TFLOP", 1e-12),
    "seconds": ("seconds", 1),
}
"""Columns that methods are compared on: titles, and factors that they print with."""
MEANINGS = {
    "judge_after": "the judge's score",
    "right_after": "the share of right pictures",
    "near": "the share of right pictures",
    "clip_after": "the CLIP score",
    "guide_after": "the guide's score",
}
"""Columns of the headline in words."""
NETWORKS = ("guide", "judge")
"""Scores that depend on a network of the settings."""
CONDITIONS = {
    "pretrained": "the model",
    "num_steps": "the number of steps",
    "guidance_scale": "the guidance scale",
    "height": "the height",
    "width": "the width",
}
"""Settings that two methods should have in common, in words."""
PAIRED = ("judge_after", "right_after", "near", "clip_after", "guide_after")
"""Columns with paired differences."""


@dataclass
class Evaluation:
    """Everything that `evaluation.md` and the report say.

    Args:
        methods: with their scores.
        notes: sentences on what is incomplete or cannot be compared.
        distances: FID and KID by method.
        ratings: lines on what people preferred.
        against: name of the method that the others are compared with; None compares
            every pair.
    """

    methods: list[Scored]
    notes: list[str] = field(default_factory=list)
    distances: dict[str, dict[str, float]] = field(default_factory=dict)
    ratings: list[str] = field(default_factory=list)
    against: str | None = None

    @property
    def headline(self) -> str:
        """The column that decides: the judge's, or the first one that there is."""
        several = len(self.methods) > 1
        for column in PAIRED:
            if self.pairs(column) if several else self.has(column):
                return column
        return next((name for name in PAIRED if self.has(name)), PAIRED[0])

    def has(self, column: str) -> bool:
        """Whether any method has values in a column."""
        return any(method.values(column) for method in self.methods)

    def comparable(self, column: str) -> bool:
        """Whether all methods with values in a column used one guide, or one judge."""
        part = column.removesuffix("_after")
        known = [method for method in self.methods if method.values(column)]
        return part not in NETWORKS or len({network(m, part) for m in known}) < 2

    def pairs(
        self, column: str, category: str | None = None
    ) -> list[tuple[Scored, Scored, Comparison]]:
        """Return the comparison of pairs of methods on a column.

        Scores of different guides, or of different judges, are not compared.

        Args:
            column: name of a score.
            category: of the prompts that count; None for all.
        """
        part = column.removesuffix("_after")
        found = [
            (a, b, compare(a.values(column, category), b.values(column, category)))
            for a, b in combinations(self.methods, 2)
            if self.against in (None, a.name, b.name)
            and (part not in NETWORKS or network(a, part) == network(b, part))
        ]
        return [pair for pair in found if pair[2].difference.count]

    @property
    def categories(self) -> list[str]:
        """Names of all categories, sorted."""
        found = {c for m in self.methods for c in m.categories.values() if c}
        return sorted(found)


def evaluate(methods: Sequence[Scored]) -> Evaluation:
    """Return the evaluation of scored methods, with notes on what limits it."""
    found = Evaluation(list(methods), [n for m in methods for n in m.method.notes])
    for part in NETWORKS:
        found.notes += _differing_networks(methods, part)
    found.notes += _unequal_conditions(methods)
    _add_near(found)
    prompts = {prompt for m in methods for prompt, _ in m.rows}
    if len(prompts) < 2:
        found.notes.append(
            "All generations have one prompt: intervals need two or more, and are left "
            "out."
        )
    elif len(prompts) < FEWEST:
        found.notes.append(
            f"{len(prompts)} prompts are too few to tell methods apart: that takes "
            f"{FEWEST} or more."
        )
    selectors = {
        str(result.row["selector"])
        for m in methods
        for result in m.method.results.values()
        if result.row.get("selector")
    }
    taken = {m.method.iterate for m in methods}
    if len(selectors) > 1 and (None in taken or len(taken) > 1):
        found.notes.append(
            "Some methods report the picture that the guide prefers, others the last; "
            "--iterate best and --iterate last treat all alike."
        )
    return found


def network(method: Scored, part: str) -> str:
    """Return the guide or the judge that a method was made with, as one text."""
    return str(method.method.settings.get("model", {}).get(part))


def _differing_networks(methods: Sequence[Scored], part: str) -> list[str]:
    known = [m for m in methods if m.values(f"{part}_after")]
    used = Counter(network(m, part) for m in known)
    if len(used) < 2:
        return []
    usual = used.most_common(1)[0][0]
    rest = ", ".join(m.name for m in known if network(m, part) == usual)
    odd = [m.name for m in known if network(m, part) != usual]
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
    return notes + _differing_originals(methods)


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


def _add_near(found: Evaluation) -> None:
    """Say which pictures are right at equal movement from the original.

    The limit is the median movement of the first method that moves pictures at all.
    """
    moves = {m.name: list(m.values("moved").values()) for m in found.methods}
    moving = [name for name, some in moves.items() if some and max(some) > 1e-6]
    if not moving or len(found.methods) < 2:
        return
    limit = median(moves[moving[0]])
    for method in found.methods:
        right, moved = method.values("right_after"), method.values("moved")
        for key in right.keys() & moved.keys():
            method.rows[key]["near"] = right[key] * (moved[key] <= limit)
    if found.has("near"):
        found.notes.append(
            f"Near is what moved by at most {limit:.3g}, the median of {moving[0]}; a "
            "picture that is right and farther counts as a failure there."
        )


def gain(method: Scored, part: str) -> Interval:
    """Return the mean change of a score from before to after."""
    after, before = method.values(f"{part}_after"), method.values(f"{part}_before")
    return compare(after, before).difference
