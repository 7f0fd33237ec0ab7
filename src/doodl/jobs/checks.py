"""Checks of prompts and seeds; each refuses with one sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from doodl.files import is_unicode


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a text such as `0-99` or `0-3,7`; ranges include both ends.

    Raises:
        ValueError: the text is not a list of seeds and ranges.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,19})\s*(?:-\s*([0-9]{1,19})\s*)?", part)
        first, last = match.groups() if match else (None, None)
        if first is None or int(last or first) - int(first) not in range(10**6):
            raise ValueError(
                f"Expected seeds as a list or a range such as '0-99', of at most a "
                f"million, received '{text}'."
            )
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def check_file(prompts: str) -> None:
    """Refuse a text that is a prompt instead of the path of a file of prompts.

    Raises:
        ValueError: there is no such file, and the text has no file ending.
    """
    looks = Path(prompts).suffix.lower() in (".txt", ".csv", ".jsonl")
    try:
        found = bool(prompts.strip()) and Path(prompts).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long for a path, or no user
        found = False
    if not looks and not found:
        raise ValueError(
            f"Expected a list of prompts or a file of them, received '{prompts}'; "
            """write a prompt as '["a red ring"]', with the brackets and both quotes."""
        )


def check_prompts(prompts: Sequence[str]) -> None:
    """Refuse a list of prompts that is empty, repeats itself, or has blank texts.

    Raises:
        ValueError: in each of these cases, naming the prompt.
    """
    if not prompts:
        raise ValueError(
            "Expected at least one prompt, received an empty list; add a text."
        )
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(
                f"Expected prompts with at least one word, received {prompt!r} at "
                f"position {i + 1}; remove it or fill it in."
            )
        check_text(f"the prompt at position {i + 1}", prompt)
    check_distinct("prompts", prompts)


def check_text(what: str, text: str) -> None:
    """Refuse half a character, as from bytes that are no UTF-8, and the text "null".

    Args:
        what: noun for the error message, for example "negative_prompt".
        text: the text.

    Raises:
        ValueError: naming the text.
    """
    if not is_unicode(text):
        raise ValueError(
            f"Expected whole characters in {what}, received half of one in {text!r}; "
            "remove it."
        )
    if text.strip() == "null":
        raise ValueError(
            f"Expected words in {what}, received the text 'null'; remove it, or write "
            "a word with another meaning."
        )


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse a list of seeds that is empty, repeats itself, or leaves [0, 2^63).

    Raises:
        ValueError: in each of these cases, naming the seed.
    """
    if not seeds:
        raise ValueError(
            "Expected at least one seed, received an empty list; add a number."
        )
    for seed in seeds:
        if not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise ValueError(
                f"Expected seeds from 0 to 2^63 - 1, received {seed!r}; choose another."
            )
    check_distinct("seeds", seeds)


def check_distinct(name: str, values: Sequence[Any]) -> None:
    """Refuse a list with two equal values.

    Raises:
        ValueError: naming the value.
    """
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(
                f"Expected different {name}, received {value!r} twice; remove one."
            )
        seen.add(value)
