"""What tables say beside `evaluation.md`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from figures import standing
from personalization import four_way
from vocabulary import group_distances

from doodl.evaluation.markdown import cell, table
from doodl.evaluation.scores import Scored
from doodl.evaluation.statistics import Key, compare
from doodl.evaluation.summary import Evaluation

if TYPE_CHECKING:
    from draws import Row
    from tasks import Task


def extra(
    name: str, evaluation: Evaluation, made: Task, rows: Sequence[Row], folder: Path
) -> list[str]:
    """Return the further tables of a table, as blocks of Markdown.

    Args:
        name: of the table.
        evaluation: of its methods.
        made: its generations.
        rows: prompts, classes and pictures that it was made from.
        folder: for files that are made once.
    """
    if name == "aesthetics":
        return kept_scene(evaluation)
    if name == "vocabulary":
        return group_distances(evaluation, made, rows, folder)
    if name == "personalization":
        return four_way(evaluation, made)
    return []


def endings(name: str, evaluation: Evaluation, ours: str) -> list[str]:
    """Return what a table's last sentence says beside the scores that decide.

    Args:
        name: of the table.
        evaluation: of its methods.
        ours: method that is compared with the others.
    """
    if name != "aesthetics":
        return []
    values = {m.name: conditional(m) for m in evaluation.methods}
    return [standing(values, ours, "rating with the scene as a condition")]


def kept_scene(evaluation: Evaluation) -> list[str]:
    """Return win, draw and loss of ratings, with the scene kept as a condition.

    A picture that no longer shows what its prompt asks for loses against one that does,
    and draws with another one that does not.
    """
    rows = []
    for one, other in combinations(evaluation.methods, 2):
        found = compare(conditional(one), conditional(other))
        both = compare(kept(one), kept(other)).difference
        rows.append(
            [
                f"{one.name} against {other.name}",
                f"{found.wins} / {found.ties} / {found.losses}",
                cell(both, signed=True),
                str(both.count),
            ]
        )
    header = ["with the scene kept", "win / draw / loss", "rating, both kept", "pairs"]
    return ["\n".join(table(header, rows))] if rows else []


def conditional(method: Scored) -> dict[Key, float]:
    """Return the rating of each result, 0 where the scene is lost."""
    right, rating = method.values("right_after"), method.values("judge_after")
    return {
        k: value if right[k] > 0.5 else 0.0 for k, value in rating.items() if k in right
    }


def kept(method: Scored) -> dict[Key, float]:
    """Return the ratings of results that still show their scene."""
    return {key: value for key, value in conditional(method).items() if value}
