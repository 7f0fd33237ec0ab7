"""The attributes of a picture that a caption may name, as classes of a judge."""

from __future__ import annotations

import torch
from torch import Tensor

from doodl.shapes.scenes import Scenes
from doodl.shapes.words import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    LARGE,
    NAMED,
    PATTERNS,
    SMALL,
)

LAYOUTS = ("one", "vertical", "horizontal", "other")
"""One object, two above each other, two side by side, anything else."""
SIZES = ("small", "medium", "large")
HEADS = {
    "layout": LAYOUTS,
    "background": BACKGROUNDS,
    "size": SIZES,
    "first_kind": KINDS,
    "first_colour": COLOURS,
    "first_pattern": PATTERNS,
    "second_kind": KINDS,
    "second_colour": COLOURS,
    "second_pattern": PATTERNS,
}
"""The judge's heads and their classes; "first" is the upper or the left object."""
NUM_LOGITS = sum(len(classes) for classes in HEADS.values())
IGNORED = -100
"""The class of an attribute that a picture does not have."""


LINKS = (
    (" above ", "vertical", True),
    (" below ", "vertical", False),
    (" left of ", "horizontal", True),
    (" right of ", "horizontal", False),
    (" and ", "", True),
)
"""Words between two objects, their layout, and whether the first one is read first."""


def split_logits(logits: Tensor) -> dict[str, Tensor]:
    """Cut (N, `NUM_LOGITS`) logits into one (N, classes) tensor a head."""
    sizes = [len(classes) for classes in HEADS.values()]
    return dict(zip(HEADS, logits.split(sizes, dim=1), strict=True))


def attributes(scenes: Scenes) -> dict[str, Tensor]:
    """Return the true class of each head, (N,), or `IGNORED` where there is none."""
    two, crowd = scenes.present[:, 1], scenes.present[:, 2]
    pair = torch.where(scenes.relation < 2, 1, 2)
    layout = torch.where(crowd, 3, torch.where(two, pair, 0))
    alone = scenes.radius[:, 0]
    size = (alone >= SMALL).long() + (alone > LARGE).long()
    labels = {
        "layout": layout,
        "background": scenes.background,
        "size": torch.where(two, IGNORED, size),
    }
    order = _reading_order(scenes)
    for place, name in enumerate(("first", "second")):
        absent = crowd | (~two & (place == 1))
        for field in ("kind", "colour", "pattern"):
            values = getattr(scenes, field).gather(1, order[:, place, None])[:, 0]
            labels[f"{name}_{field}"] = torch.where(absent, IGNORED, values)
    return labels


def said(scenes: Scenes) -> dict[str, Tensor]:
    """Return the classes of `attributes` that the captions name, else `IGNORED`."""
    labels = attributes(scenes)
    order = _reading_order(scenes)
    two = scenes.present[:, 1]
    known = scenes.says_relation | ~two
    masks = {
        "layout": known,
        "background": scenes.says_background,
        "size": scenes.says_size & ~two,
    }
    for place, name in enumerate(("first", "second")):
        at = order[:, place, None]
        masks[f"{name}_kind"] = known & scenes.says_kind.gather(1, at)[:, 0]
        masks[f"{name}_colour"] = known & scenes.says_colour.gather(1, at)[:, 0]
        masks[f"{name}_pattern"] = known
    return {k: torch.where(masks[k], v, IGNORED) for k, v in labels.items()}


def readings(caption: str) -> list[dict[str, set[str]]]:
    """Return what a caption asks of a picture; one reading is enough.

    A reading maps names of `HEADS` to the classes allowed. "A and b" has four
    readings: either order, upright or side by side.

    Raises:
        ValueError: when the caption is not of the world's grammar.
    """
    text, _, ground = caption.partition(" on a ")
    common: dict[str, set[str]] = {}
    if ground:
        common["background"] = {_word(ground.split()[0], BACKGROUNDS, caption)}
    pair = _pair_readings(text, caption)
    if pair:
        return [reading | common for reading in pair]
    wanted = _wanted(text, caption)
    size = {"size": wanted.pop("size")} if "size" in wanted else {}
    return [
        {
            "layout": {"one"},
            **common,
            **size,
            **{f"first_{k}": v for k, v in wanted.items()},
        }
    ]


def _pair_readings(text: str, caption: str) -> list[dict[str, set[str]]]:
    """Return the readings of "a above b" and the like, none for a single object."""
    for link, layout, forwards in LINKS:
        head, found, tail = text.partition(link)
        if not found:
            continue
        a, b = _wanted(head, caption), _wanted(tail, caption)
        pairs = [(a, b) if forwards else (b, a)]
        if not layout:
            pairs.append((b, a))
        return [
            {
                "layout": {layout} if layout else {"vertical", "horizontal"},
                **{f"first_{k}": v for k, v in first.items() if k != "size"},
                **{f"second_{k}": v for k, v in second.items() if k != "size"},
            }
            for first, second in pairs
        ]
    return []


def _wanted(phrase: str, caption: str) -> dict[str, set[str]]:
    """Return the classes that "a small patterned red circle" allows."""
    article, *words, noun = phrase.split()
    if article not in ("a", "an"):
        raise ValueError(_unknown(article, caption))
    wanted = {"pattern": {"plain"}}
    if noun != "shape":
        wanted["kind"] = {_word(noun, NAMED, caption)}
    for word in words:
        if word == "patterned":
            wanted["pattern"] = set(PATTERNS[1:])
        elif word in ("small", "large"):
            wanted["size"] = {word}
        else:
            wanted["colour"] = {_word(word, COLOURS, caption)}
    return wanted


def _word(word: str, words: tuple[str, ...], caption: str) -> str:
    if word not in words:
        raise ValueError(_unknown(word, caption))
    return word


def _unknown(word: str, caption: str) -> str:
    return (
        f"The shapes world's judge understands captions such as 'a red circle above a "
        f"blue square on a grey background', but not the word '{word}' in '{caption}'."
    )


def _reading_order(scenes: Scenes) -> Tensor:
    """Return the caption's slots from the upper or left object on, (N, 2)."""
    swapped = scenes.present[:, 1] & (scenes.relation % 2 == 1)
    first = swapped.long()
    return torch.stack((first, 1 - first), dim=1)
