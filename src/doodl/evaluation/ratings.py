"""A blind rating sheet, methods shuffled and names hidden, and its answers."""

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
    files: Sequence[str | Path], key: str | Path, methods: Sequence[str] = ()
) -> tuple[list[Question], dict[str, list[str]]]:
    """Return the questions of a sheet, and all raters' answers to each.

    Args:
        files: answers that raters exported, one file each.
        key: file `KEY` of the same sheet.
        methods: names of those that are evaluated, if any are.

    Raises:
        ValueError: a file is unreadable, of another sheet, or given twice; or the sheet
            is one of other methods.
    """
    paths = [named(file, "answers") for file in files]
    twice = [p for p, n in Counter(map(os.path.realpath, paths)).items() if n > 1]
    if twice:
        raise ValueError(
            f"Expected one file of answers of each rater, received '{twice[0]}' twice; "
            "leave one out."
        )
    sheet = _read(Path(key), ("sheet", "questions"))
    questions = _questions(sheet, key)
    _check_methods(questions, key, methods)
    known = {question.id for question in questions}
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
                    f"'{answer}'; export them from the sheet again."
                )
            answers[name].append(answer)
    return questions, answers


def _questions(sheet: dict[str, Any], key: str | Path) -> list[Question]:
    try:
        return [Question(**question) for question in sheet["questions"]]
    except TypeError as error:
        raise ValueError(
            f"Expected the questions of a sheet in '{key}', received others: {error}; "
            "give the file that the report wrote."
        ) from error


def _check_methods(
    questions: Sequence[Question], key: str | Path, methods: Sequence[str]
) -> None:
    asked = sorted({name for one in questions for name in (one.left, one.right)})
    if methods and len(set(asked) & set(methods)) < 2:
        raise ValueError(
            f"Expected a rating sheet of {', '.join(methods)}, received one of "
            f"{', '.join(asked)} in '{key}'; leave out --results, or give theirs."
        )


def _read(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    text = read_text(path, "a file of a rating sheet")
    try:
        content = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"Could not read the ratings '{path}': {error}; export them again."
        ) from error
    if not isinstance(content, dict) or not content.keys() >= set(names):
        raise ValueError(
            f"Expected {' and '.join(names)} in '{path}', received other content; give "
            "the file that the sheet exported, and its key with --sheet."
        )
    return content


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, whose keys are distinct."""
    found = dict(pairs)
    if len(found) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"'{key}' stands there twice")
    return found
