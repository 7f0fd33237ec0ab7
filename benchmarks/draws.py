"""The rows that tables draw from, where `tasks.py` has no fitting ones."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torchvision.utils import save_image

from doodl.shapes.evaluate import plain_captions
from doodl.shapes.renderer import render
from doodl.shapes.scenes import Scenes, draw_scenes
from doodl.shapes.words import BACKGROUNDS, KINDS, NAMED, PATTERNS

Row = dict[str, str]
CONTEXTS = 4
"""Prompts of one thing: three other backgrounds, and once more a small object."""


def text_rows(count: int, seed: int) -> list[Row]:
    """Return prompts whose share of right samples differs by orders of magnitude.

    All name two objects of withheld colours. A third is plain, a third patterned, and
    a third patterned on a named background.
    """
    plain = plain_captions(count, pairs=1.0, held_out="only", seed=seed)
    rows = []
    for number, text in enumerate(plain):
        if number % 3:
            text = re.sub(r"\ban? (?!\w+ background)", "a patterned ", text)
        if number % 3 == 2 and "background" not in text:
            text = f"{text} on a {BACKGROUNDS[number // 3 % 4]} background"
        rows.append({"prompt": text})
    return rows


def thing_rows(count: int, seed: int, folder: Path) -> list[Row]:
    """Return pictures of patterned things, and for each `CONTEXTS` prompts in turn.

    Args:
        count: number of rows.
        seed: of the things.
        folder: for the pictures, whose names tell the seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = -(-count // CONTEXTS)
    scenes = draw_things(number, torch.Generator().manual_seed(seed))
    rows: list[Row] = []
    for index, pixels in enumerate(render(scenes)):
        path = folder / f"thing_{seed}_{index}.png"
        save_image(pixels, path)
        kind, own = KINDS[scenes.kind[index, 0]], int(scenes.background[index])
        others = [BACKGROUNDS[(own + shift) % 4] for shift in (1, 2, 3)]
        prompts = [f"a patterned {kind} on a {ground} background" for ground in others]
        prompts.append(f"a small patterned {kind} on a {others[0]} background")
        rows += [{"prompt": prompt, "image": str(path)} for prompt in prompts]
    return rows[:count]


def draw_things(count: int, generator: torch.Generator) -> Scenes:
    """Return scenes of one large patterned object of a named kind, in the middle."""
    scenes = draw_scenes(count, generator, held_out="without", pairs=0.0)
    kind = torch.randint(len(NAMED), (count,), generator=generator)
    pattern = torch.randint(1, len(PATTERNS), (count,), generator=generator)
    scenes.kind[:, 0], scenes.pattern[:, 0] = kind, pattern
    scenes.radius[:, 0], scenes.centre[:, 0] = 16.0, 32.0
    return scenes
