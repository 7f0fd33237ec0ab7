"""A blind rating sheet: methods shuffled, names hidden, answers counted."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from doodl.evaluation.folders import Method
from doodl.evaluation.markdown import table
from doodl.evaluation.statistics import majority
from doodl.files import named, read_text

CHOICES = ("left", "right", "same")
"""Answers to a question."""
KEY = "sheet_key.json"
"""File that says which method stood where; raters do not get it."""


@dataclass(frozen=True)
class Question:
    """Two pictures of one generation.

    Args:
        id: its name in the answers.
        prompt: what was asked for.
        seed: of the generation.
        left: method of the left picture.
        right: method of the right picture.
    """

    id: str
    prompt: str
    seed: str
    left: str
    right: str

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, str):
                raise TypeError(f"{name} is {value!r:.40}, and no text")


def make_sheet(
    methods: Sequence[Method], seed: int = 0, most: int = 200
) -> list[Question]:
    """Return questions on pairs of methods, in random order and on random sides.

    Args:
        methods: two or more.
        seed: of the shuffling.
        most: questions at most, drawn at random.
    """
    shuffled = random.Random(seed)
    questions = []
    for a, b in combinations(methods, 2):
        for key in a.results.keys() & b.results.keys():
            if a.results[key].after and b.results[key].after:
                questions.append((key[0], str(key[1]), a.name, b.name))
    questions.sort()
    shuffled.shuffle(questions)
    found = []
    for prompt, number, *pair in questions[:most]:
        shuffled.shuffle(pair)
        content = json.dumps([seed, prompt, number, *sorted(pair)]).encode()
        name = hashlib.blake2b(content, digest_size=6).hexdigest()
        found.append(Question(name, prompt, number, *pair))
    return found


def sheet_id(questions: Sequence[Question]) -> str:
    """Return a digest of a sheet, which its answers carry."""
    content = json.dumps([question.id for question in questions]).encode()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def key_of(questions: Sequence[Question]) -> bytes:
    """Return the content of `KEY`."""
    content = {"sheet": sheet_id(questions), "questions": list(map(asdict, questions))}
    return json.dumps(content, indent=1).encode()


def read_answers(
    files: Sequence[str | Path], key: str | Path
) -> tuple[list[Question], dict[str, list[str]]]:
    """Return the questions of a sheet, and all raters' answers to each.

    Args:
        files: answers that raters exported, one file each.
        key: file `KEY` of the same sheet.

    Raises:
        ValueError: a file is unreadable, or of another sheet.
    """
    paths = [named(file, "answers") for file in files]
    twice = [p for p, n in Counter(map(os.path.realpath, paths)).items() if n > 1]
    if twice:
        raise ValueError(
            f"Expected one file of answers of each rater, received '{twice[0]}' twice; "
            "leave one out."
        )
    sheet = _read(Path(key), ("sheet", "questions"))
    try:
        questions = [Question(**question) for question in sheet["questions"]]
        known = {question.id for question in questions}
    except TypeError as error:
        raise ValueError(
            f"Expected the questions of a sheet in '{key}', received others: {error}; "
            "give the file that the report wrote."
        ) from error
    answers: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        found = _read(path, ("sheet", "answers"))
        if not isinstance(found["answers"], dict):
            raise ValueError(
                f"Expected answers by question in '{path}', received "
                f"{found['answers']!r:.80}; give the file that the sheet exported."
            )
        if found["sheet"] != sheet["sheet"] or not found["answers"].keys() <= known:
            raise ValueError(
                f"'{path}' answers another rating sheet than '{key}'; give the key of "
                "the sheet with --sheet."
            )
        for name, answer in found["answers"].items():
            if answer not in CHOICES:
                raise ValueError(
                    f"Expected answers {', '.join(CHOICES)} in '{path}', found "
                    f"'{answer}'."
                )
            answers[name].append(answer)
    return questions, answers


def _read(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    text = read_text(path, "a file of a rating sheet")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Could not read the ratings '{path}': {error}.") from error
    if not isinstance(content, dict) or not content.keys() >= set(names):
        raise ValueError(f"Expected {' and '.join(names)} in '{path}'.")
    return content


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


def _counts(found: Counter[str], pair: tuple[str, str]) -> tuple[int, int, int]:
    return found[pair[0]], found["same"], found[pair[1]]


def rating_lines(files: Sequence[str], key: str | Path) -> list[str]:
    """Return the table of what raters preferred."""
    questions, answers = read_answers(files, key)
    rows = [
        [
            f"{found.first} against {found.second}",
            " / ".join(map(str, found.wins)),
            " / ".join(map(str, found.majorities)),
        ]
        for found in preferences(questions, answers)
    ]
    header = ["", "win / draw / loss, answers", "by majority of raters"]
    return table(header, rows) if rows else ["No question was answered."]
