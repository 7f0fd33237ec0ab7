"""The paper's four-way answer on personalization, by the majority of three judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from readers import Attributes, Classes, Reader, Seen, Silhouettes

from doodl.evaluation.markdown import cell, table
from doodl.evaluation.preferences import majority
from doodl.evaluation.statistics import Key, clustered_mean, compare
from doodl.evaluation.summary import Evaluation
from doodl.generation import Generation
from doodl.images import load
from doodl.jobs.data import PromptsAndSeeds
from doodl.shapes.judge import AttributeJudge

if TYPE_CHECKING:
    from tasks import Task

ANSWERS = ("context wrong", "other thing", "similar", "same")
"""The paper's answers to whether a picture shows the thing in its context."""
UNDECIDED = "no majority"
PICTURE = ("kind", "pattern", "colour")
PAPER = {"DOODL": "52.1%", "one_step": "25.0%", "original": "6.2%"}
"""Same or similar by majority, in the paper."""
NOTE = (
    "Same or similar is what most judges call one or the other. Only one of the three "
    "judges reads sizes, so that a wrong size counts in `right`, and hardly here."
)
"""What stands under the table."""


def answer(seen: Seen, thing: Seen, context: Mapping[str, set[str]]) -> str:
    """Return one of `ANSWERS`: a thing of the same kind with one more trait is similar.

    Args:
        seen: what a judge reads in the picture.
        thing: what the same judge reads in the picture of the thing.
        context: backgrounds, and sizes if any, that the prompt allows.
    """
    if any(seen[name] not in some for name, some in context.items() if name in seen):
        return ANSWERS[0]
    equal = [seen[name] == thing[name] for name in PICTURE]
    if all(equal):
        return ANSWERS[3]
    return ANSWERS[2] if equal[0] and any(equal[1:]) else ANSWERS[1]


def contexts(judge: AttributeJudge, generation: Generation) -> dict[str, set[str]]:
    """Return the backgrounds, and sizes if any, that a generation's prompt allows."""
    found: dict[str, set[str]] = {}
    for reading in judge.wanted(generation) or ():
        for name in ("background", "size"):
            if name in reading:
                found[name] = found.get(name, set()) | set(reading[name])
    return found


def four_way(
    evaluation: Evaluation, made: Task, readers: Sequence[Reader] | None = None
) -> list[str]:
    """Return the table of the paper's four answers, by the majority of three judges."""
    asked = {g.id: g for g in PromptsAndSeeds(**made.data).generations}
    known = Attributes()
    readers = readers or (known, Classes(), Silhouettes())
    things: dict[tuple[int, str], Seen] = {}
    answers: dict[str, dict[Key, list[str]]] = {}
    for method in evaluation.methods:
        answers[method.name] = {}
        for key, result in method.method.results.items():
            if result.after is None:
                continue
            generation, votes = asked[result.name], []
            context = contexts(known.judge, generation)
            for number, read in enumerate(readers):
                place = number, str(generation.image)
                if place not in things:
                    (things[place],) = read(load(Path(place[1]))[None])
                (seen,) = read(load(result.after)[None])
                votes.append(answer(seen, things[place], context))
            answers[method.name][key] = votes
    return answer_lines(answers)


def answer_lines(answers: Mapping[str, Mapping[Key, Sequence[str]]]) -> list[str]:
    """Return the shares of answers, and of same or similar beside the paper's.

    A picture is "same or similar" if most judges give one of these two answers; it may
    then have no majority among the four.

    Args:
        answers: of the judges, by method and generation.
    """
    good = {
        name: {
            key: float(2 * sum(a in ANSWERS[2:] for a in votes) > len(votes))
            for key, votes in some.items()
        }
        for name, some in answers.items()
    }
    ours = next(iter(answers))
    rows = []
    for name, some in answers.items():
        counts = Counter(majority(votes) or UNDECIDED for votes in some.values())
        difference = "" if name == ours else "–"
        if name != ours:
            found = compare(good[ours], good[name]).difference
            difference = cell(found, 100, signed=True)
        shares = [str(counts[a]) for a in (*ANSWERS, UNDECIDED)]
        share = cell(clustered_mean(good[name]), 100)
        rows.append([name, *shares, share, difference, PAPER.get(name, "–")])
    header = ["by majority of three judges", *ANSWERS, UNDECIDED]
    header += ["same or similar, %", f"{ours} minus this, points", "the paper"]
    return ["\n".join(table(header, rows)), NOTE]
