"""One English sentence a scene, as "a red circle above a blue square"."""

from __future__ import annotations

from typing import Any

from doodl.shapes.words import BACKGROUNDS, COLOURS, KINDS, LARGE, RELATIONS, SMALL


def caption(row: dict[str, Any]) -> str:
    """Return the caption of a scene, whose fields are numbers and lists."""
    two = row["present"][1]
    text = _phrase(row, 0, size=not two and row["says_size"])
    if two:
        link = RELATIONS[row["relation"]] if row["says_relation"] else "and"
        text += f" {link} {_phrase(row, 1)}"
    if row["says_background"]:
        text += f" on a {BACKGROUNDS[row['background']]} background"
    return text


def _phrase(row: dict[str, Any], slot: int, *, size: bool = False) -> str:
    words = ["a"]
    if size and row["radius"][slot] < SMALL:
        words.append("small")
    if size and row["radius"][slot] > LARGE:
        words.append("large")
    if row["pattern"][slot]:
        words.append("patterned")
    if row["says_colour"][slot]:
        words.append(COLOURS[row["colour"][slot]])
    words.append(KINDS[row["kind"][slot]] if row["says_kind"][slot] else "shape")
    article = "an" if words[1][0] in "aeiou" else "a"
    return " ".join([article, *words[1:]])
