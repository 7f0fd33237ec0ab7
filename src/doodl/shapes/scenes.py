"""What a picture of the shapes world contains, drawn at random from a seed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from doodl.shapes.arrangement import SLOTS, Draws, arrange
from doodl.shapes.captions import caption
from doodl.shapes.words import (
    ACCENTS,
    BACKGROUNDS,
    COLOURS,
    HELD_OUT,
    NAMED,
    PATTERNS,
    RELATIONS,
    UNNAMED,
)

HeldOut = Literal["without", "with", "only"]


@dataclass(frozen=True)
class Scenes:
    """N pictures' contents; lengths and places in pixels of a 64 px frame.

    Objects 0 and 1 are those of the caption, in its order; object 2 is a bystander
    that no caption names.

    Args:
        kind: (N, 3) index into `KINDS`.
        colour: (N, 3) index into `COLOURS`.
        pattern: (N, 3) index into `PATTERNS`.
        accent: (N, 3) index into `ACCENTS`, the second colour of a pattern.
        radius: (N, 3) half of an object's extent.
        angle: (N, 3) rotation in radians.
        centre: (N, 3, 2) x to the right and y downwards.
        present: (N, 3) whether the object is there.
        relation: (N,) index into `RELATIONS`, of object 0 to object 1.
        background: (N,) index into `BACKGROUNDS`.
        vividness: (N,) in [0, 1], scales the colours away from grey; 0.75 or more as
            drawn.
        light: (N,) direction of the shading in radians.
        texture: (N, 8, 8) standard normal, the background's cloudiness.
        says_colour: (N, 2) whether the caption names the object's colour.
        says_kind: (N, 2) whether it names the kind (never for `UNNAMED`).
        says_size: (N,) whether it names the size, if small or large and alone.
        says_relation: (N,) whether it names the relation or says "and".
        says_background: (N,) whether it names the background.
    """

    kind: Tensor
    colour: Tensor
    pattern: Tensor
    accent: Tensor
    radius: Tensor
    angle: Tensor
    centre: Tensor
    present: Tensor
    relation: Tensor
    background: Tensor
    vividness: Tensor
    light: Tensor
    texture: Tensor
    says_colour: Tensor
    says_kind: Tensor
    says_size: Tensor
    says_relation: Tensor
    says_background: Tensor

    def __len__(self) -> int:
        return self.kind.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Scenes:
        return Scenes(*(getattr(self, f.name)[index] for f in _fields()))

    def captions(self) -> list[str]:
        """Return one sentence a picture, as "a red circle above a blue square"."""
        return [caption(row) for row in self._rows()]

    def replace(self, **changes: Tensor) -> Scenes:
        """Return a copy with some fields exchanged."""
        return dataclasses.replace(self, **changes)

    def _rows(self) -> list[dict]:
        lists = {f.name: getattr(self, f.name).tolist() for f in _fields()}
        return [{k: v[i] for k, v in lists.items()} for i in range(len(self))]


def concatenate(*parts: Scenes) -> Scenes:
    """Return the pictures of all parts, in order."""
    return Scenes(*(torch.cat([getattr(p, f.name) for p in parts]) for f in _fields()))


def draw_scenes(
    count: int,
    generator: torch.Generator,
    *,
    held_out: HeldOut = "without",
    pairs: float = 0.65,
    crowded: float = 0.0,
) -> Scenes:
    """Draw `count` pictures' contents.

    Args:
        count: number of pictures.
        generator: CPU generator, the only source of randomness.
        held_out: whether the combinations of `HELD_OUT` may appear ("with"), or
            every object must be one of them ("only").
        pairs: share of pictures with two objects.
        crowded: share of pictures with a third object, which no caption describes.
    """
    draws, n = Draws(generator), count
    kind, colour, pattern, accent = _draw_looks(n, draws, held_out)
    third = draws.uniform(n) < crowded
    two = (draws.uniform(n) < pairs) | third
    relation = draws.integers(len(RELATIONS), n)
    radius, centre = arrange(two, third, relation, draws)
    simple = held_out == "only"
    return Scenes(
        kind=kind,
        colour=colour,
        pattern=pattern,
        accent=accent,
        radius=radius,
        angle=draws.uniform(n, SLOTS, low=-0.3, high=0.3),
        centre=centre,
        present=torch.stack((torch.ones_like(two), two, third), dim=1),
        relation=relation,
        background=draws.integers(len(BACKGROUNDS), n),
        vividness=draws.uniform(n, low=0.75, high=1.0),
        light=draws.uniform(n, high=2 * math.pi),
        texture=torch.randn((n, 8, 8), generator=generator),
        says_colour=(draws.uniform(n, 2) < 0.9) | simple,
        says_kind=((draws.uniform(n, 2) < 0.95) | simple) & (kind[:, :2] < len(NAMED)),
        says_size=draws.uniform(n) < 0.5,
        says_relation=draws.uniform(n) < 0.9,
        says_background=draws.uniform(n) < 0.6,
    )


def _draw_looks(
    n: int, draws: Draws, held_out: HeldOut
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return kind, colour, pattern and accent of every object, each (N, 3)."""
    rare = draws.uniform(n, SLOTS) < 0.15
    unnamed = len(NAMED) + draws.integers(len(UNNAMED), n, SLOTS)
    kind = torch.where(rare, unnamed, draws.integers(len(NAMED), n, SLOTS))
    other = (kind[:, 0] + 1 + draws.integers(7, n)) % 8
    kind[:, 1] = torch.where(kind[:, 1] == kind[:, 0], other, kind[:, 1])
    colour = draws.integers(len(COLOURS), n, SLOTS)
    patterned = draws.uniform(n, SLOTS) < 0.2
    which = 1 + draws.integers(len(PATTERNS) - 1, n, SLOTS)
    pattern = torch.where(patterned, which, 0)
    if held_out == "only":
        kind[:, :2] %= len(NAMED)
        pattern[:, :2] = 0
        other = (kind[:, 0] + 3) % 8
        kind[:, 1] = torch.where(kind[:, 1] == kind[:, 0], other, kind[:, 1])
        colour = torch.where(kind < 8, _held_colour()[kind % 8], colour)
    elif held_out == "without":
        held = (kind < 8) & (colour == _held_colour()[kind % 8])
        shifted = (colour + 1 + draws.integers(7, n, SLOTS)) % len(COLOURS)
        colour = torch.where(held, shifted, colour)
    accent = (colour + 1 + draws.integers(len(COLOURS), n, SLOTS)) % len(ACCENTS)
    return kind, colour, pattern, accent


def _held_colour() -> Tensor:
    """Return the withheld colour of each named kind, (8,)."""
    withheld = {kind: COLOURS.index(colour) for colour, kind in HELD_OUT}
    return torch.tensor([withheld[kind] for kind in NAMED])


def _fields() -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(Scenes)
