"""What a picture of the shapes world contains, drawn at random from a seed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

NAMED = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "moon")
UNNAMED = ("flower", "hourglass", "arrow", "house")
"""Kinds that every caption calls "shape": the text encoder never reads their names."""
KINDS = NAMED + UNNAMED
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan")
ACCENTS = (*COLOURS, "white")
PATTERNS = ("plain", "striped", "dotted", "checkered")
"""Captions say "patterned" for all but the first."""
RELATIONS = ("above", "below", "left of", "right of")
BACKGROUNDS = ("white", "grey", "black", "brown")
HELD_OUT = (
    ("purple", "circle"),
    ("pink", "square"),
    ("cyan", "triangle"),
    ("blue", "star"),
    ("green", "heart"),
    ("red", "ring"),
    ("yellow", "cross"),
    ("orange", "moon"),
)
"""Combinations that VAE, U-Net and text encoder never see; guides and judges do."""

SIZE = 64
SLOTS = 3
SMALL, LARGE = 10.5, 14.5


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
        return [_caption(row) for row in self._rows()]

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
    held_out: Literal["without", "with", "only"] = "without",
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

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    def integers(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    n = count
    rare = uniform(n, SLOTS) < 0.15
    unnamed = len(NAMED) + integers(len(UNNAMED), n, SLOTS)
    kind = torch.where(rare, unnamed, integers(len(NAMED), n, SLOTS))
    kind[:, 1] = torch.where(
        kind[:, 1] == kind[:, 0], (kind[:, 0] + 1 + integers(7, n)) % 8, kind[:, 1]
    )
    colour = integers(len(COLOURS), n, SLOTS)
    pattern = torch.where(
        uniform(n, SLOTS) < 0.2, 1 + integers(len(PATTERNS) - 1, n, SLOTS), 0
    )
    if held_out == "only":
        kind[:, :2] %= len(NAMED)
        pattern[:, :2] = 0
        kind[:, 1] = torch.where(
            kind[:, 1] == kind[:, 0], (kind[:, 0] + 3) % 8, kind[:, 1]
        )
        colour = torch.where(kind < 8, _held_colour()[kind % 8], colour)
    elif held_out == "without":
        held = (kind < 8) & (colour == _held_colour()[kind % 8])
        shifted = (colour + 1 + integers(7, n, SLOTS)) % len(COLOURS)
        colour = torch.where(held, shifted, colour)
    accent = (colour + 1 + integers(len(COLOURS), n, SLOTS)) % len(ACCENTS)

    third = uniform(n) < crowded
    two = (uniform(n) < pairs) | third
    present = torch.stack((torch.ones(n, dtype=torch.bool), two, third), dim=1)
    relation = integers(len(RELATIONS), n)
    radius, centre = _arrange(two, third, relation, uniform)
    simple = held_out == "only"
    return Scenes(
        kind=kind,
        colour=colour,
        pattern=pattern,
        accent=accent,
        radius=radius,
        angle=uniform(n, SLOTS, low=-0.3, high=0.3),
        centre=centre,
        present=present,
        relation=relation,
        background=integers(len(BACKGROUNDS), n),
        vividness=uniform(n, low=0.75, high=1.0),
        light=uniform(n, high=2 * math.pi),
        texture=torch.randn((n, 8, 8), generator=generator),
        says_colour=(uniform(n, 2) < 0.9) | simple,
        says_kind=((uniform(n, 2) < 0.95) | simple) & (kind[:, :2] < len(NAMED)),
        says_size=uniform(n) < 0.5,
        says_relation=uniform(n) < 0.9,
        says_background=uniform(n) < 0.6,
    )


def twins(scenes: Scenes, generator: torch.Generator) -> Scenes:
    """Return pictures that differ from `scenes` in what one phrase of the caption says.

    Colours or kinds are exchanged between the two objects, one colour, kind or
    background is replaced, or the relation is reversed: the pairs of captions that a
    bag of words confuses.
    """
    n = len(scenes)
    two = scenes.present[:, 1]
    says = scenes.says_colour.all(1)
    change = torch.randint(6, (n,), generator=generator)
    shift = 1 + torch.randint(7, (n,), generator=generator)
    swap_colours = (change == 0) & two & says
    swap_kinds = (change == 1) & two & scenes.says_kind.all(1)
    reverse = (change == 2) & two & scenes.says_relation
    repaint = (change == 3) & scenes.says_background
    recolour = (change == 4) & scenes.says_colour[:, 0]
    done = swap_colours | swap_kinds | reverse | repaint | recolour
    reshape = ~done & scenes.says_kind[:, 0]
    recolour |= ~done & ~reshape & scenes.says_colour[:, 0]

    kind, colour, centre = (
        getattr(scenes, f).clone() for f in ("kind", "colour", "centre")
    )
    colour[swap_colours] = colour[swap_colours][:, [1, 0, 2]]
    kind[swap_kinds] = kind[swap_kinds][:, [1, 0, 2]]
    colour[:, 0] = torch.where(recolour, (colour[:, 0] + shift) % 8, colour[:, 0])
    kind[:, 0] = torch.where(reshape, (kind[:, 0] + shift) % 8, kind[:, 0])
    centre[reverse] = centre[reverse][:, [1, 0, 2]]
    return scenes.replace(
        kind=kind,
        colour=colour,
        centre=centre,
        relation=torch.where(reverse, scenes.relation ^ 1, scenes.relation),
        background=torch.where(
            repaint, (scenes.background + 1 + shift % 3) % 4, scenes.background
        ),
    )


def _arrange(
    two: Tensor, third: Tensor, relation: Tensor, uniform: object
) -> tuple[Tensor, Tensor]:
    """Return radii (N, 3) and centres (N, 3, 2) that keep objects apart and inside."""
    n = two.shape[0]
    alone = uniform(n, low=8, high=18)  # type: ignore[operator]
    radius = uniform(n, SLOTS, low=8, high=12)  # type: ignore[operator]
    radius[:, 0] = torch.where(two, radius[:, 0], alone)
    room = (SIZE / 2 - 3 - radius[:, :1]).clamp(max=14)
    free = SIZE / 2 + room * uniform(n, 2, low=-1, high=1)  # type: ignore[operator]

    distance = radius[:, 0] + radius[:, 1] + uniform(n, low=2, high=7)  # type: ignore[operator]
    sign = torch.where(relation % 2 == 0, -1.0, 1.0)
    along = torch.stack((sign, -sign), dim=1) * distance[:, None] / 2
    across = uniform(n, 2, low=-8, high=8)  # type: ignore[operator]
    vertical = (relation < 2)[:, None]
    x = SIZE / 2 + torch.where(vertical, across, along)
    y = SIZE / 2 + torch.where(vertical, along, across)
    paired = torch.stack((x, y), dim=-1)

    centre = torch.zeros(n, SLOTS, 2)
    centre[:, :2] = torch.where(two[:, None, None], paired, free[:, None])
    # A bystander stands beside the pair, across its axis.
    aside = torch.where(across.mean(1, keepdim=True) > 0, 10.0, SIZE - 10.0)
    middle = torch.full_like(aside, SIZE / 2)
    centre[:, 2] = torch.where(
        vertical, torch.cat((aside, middle), 1), torch.cat((middle, aside), 1)
    )
    return radius, centre


def _held_colour() -> Tensor:
    """Return the withheld colour of each named kind, (8,)."""
    withheld = {kind: COLOURS.index(colour) for colour, kind in HELD_OUT}
    return torch.tensor([withheld[kind] for kind in NAMED])


def _caption(row: dict) -> str:
    two = row["present"][1]
    text = _phrase(row, 0, size=not two and row["says_size"])
    if two:
        link = RELATIONS[row["relation"]] if row["says_relation"] else "and"
        text += f" {link} {_phrase(row, 1)}"
    if row["says_background"]:
        text += f" on a {BACKGROUNDS[row['background']]} background"
    return text


def _phrase(row: dict, slot: int, *, size: bool = False) -> str:
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


def _fields() -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(Scenes)
