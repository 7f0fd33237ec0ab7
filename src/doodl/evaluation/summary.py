"""The comparison of methods on all that was scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median

from doodl.evaluation.notes import limits
from doodl.evaluation.scores import NETWORKS, Scored
from doodl.evaluation.statistics import Comparison, Interval, compare

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
        return part not in NETWORKS or len({m.network(part) for m in known}) < 2

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
            and (part not in NETWORKS or a.network(part) == b.network(part))
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
    _add_near(found)
    found.notes += limits(methods)
    unscored = [m.name for m in methods if not any(map(m.values, PAIRED))]
    if unscored:
        found.notes.append(
            f"No score is known of {', '.join(unscored)}: name the CLIP that is to "
            "score pictures with --clip, or the judge with --verdict."
        )
    return found


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
