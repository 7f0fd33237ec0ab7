"""What people preferred, by their answers to a rating sheet."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from doodl.evaluation.markdown import table
from doodl.evaluation.ratings import Question, read_answers


@dataclass(frozen=True)
class Preference:
    """What raters preferred, of two methods.

    Args:
        first: a method.
        second: the other one.
        wins: answers for the first, draws, and answers for the second.
        majorities: the same of questions by the majority of their raters; questions
            without one are draws.
    """

    first: str
    second: str
    wins: tuple[int, int, int]
    majorities: tuple[int, int, int]


def preferences(
    questions: Sequence[Question], answers: dict[str, list[str]]
) -> list[Preference]:
    """Return win, draw and loss of every pair of methods."""
    single: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    major: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for question in questions:
        pair = tuple(sorted((question.left, question.right)))
        names = {"left": question.left, "right": question.right, "same": "same"}
        given = [names[answer] for answer in answers.get(question.id, [])]
        if given:
            single[pair].update(given)  # type: ignore[index]
            major[pair][majority(given) or "same"] += 1  # type: ignore[index]
    return [
        Preference(*pair, _counts(single[pair], pair), _counts(major[pair], pair))
        for pair in sorted(single)
    ]


def majority(answers: Sequence[str]) -> str | None:
    """Return the answer that more than half of the raters gave, or None."""
    counts = Counter(answers).most_common(1)
    return counts[0][0] if counts and 2 * counts[0][1] > len(answers) else None


def _counts(found: Counter[str], pair: tuple[str, str]) -> tuple[int, int, int]:
    return found[pair[0]], found["same"], found[pair[1]]


def rating_lines(
    files: Sequence[str], key: str | Path, methods: Sequence[str] = ()
) -> list[str]:
    """Return the table of what raters preferred, and how much they have answered.

    The arguments are those of `read_answers`.
    """
    questions, answers = read_answers(files, key, methods)
    rows = [
        [
            f"{found.first} against {found.second}",
            " / ".join(map(str, found.wins)),
            " / ".join(map(str, found.majorities)),
        ]
        for found in preferences(questions, answers)
    ]
    header = ["", "win / draw / loss, answers", "by majority of raters"]
    if not rows:
        return ["No question was answered."]
    given, total = sum(map(len, answers.values())), len(files) * len(questions)
    notes = [f"Answers given: {given} of {total}, to {len(answers)} questions."]
    if len({Path(file).read_bytes() for file in files}) < len(files):
        notes.append("Some files are equal: leave out what one rater exported twice.")
    return [*table(header, rows), "", *notes]
