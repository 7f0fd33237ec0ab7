"""Draws scenes: (N, 3, 64, 64) pixels in [0, 1], by signed distances."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from doodl.shapes.arrangement import SIZE, SLOTS
from doodl.shapes.scenes import Scenes
from doodl.shapes.words import KINDS

PALETTE = torch.tensor(
    [
        [0.86, 0.14, 0.14],
        [0.13, 0.60, 0.20],
        [0.14, 0.28, 0.86],
        [0.96, 0.85, 0.15],
        [0.96, 0.52, 0.08],
        [0.50, 0.17, 0.68],
        [0.97, 0.56, 0.76],
        [0.18, 0.78, 0.82],
        [0.97, 0.97, 0.97],
    ]
)
"""RGB of `ACCENTS`: the eight colours and white."""
GROUNDS = torch.tensor(
    [[0.92, 0.92, 0.91], [0.60, 0.60, 0.62], [0.09, 0.09, 0.11], [0.46, 0.33, 0.22]]
)
"""RGB of `BACKGROUNDS`."""


def render(scenes: Scenes) -> Tensor:
    """Return pixels (N, 3, 64, 64) in [0, 1] of the scenes, anti-aliased."""
    axis = torch.arange(SIZE, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    picture = _ground(scenes, x, y)
    for slot in range(SLOTS):
        here = scenes.present[:, slot].nonzero()[:, 0]
        if len(here):
            cover, paint = _object(scenes[here], slot, x, y)
            picture[here] = cover * paint + (1 - cover) * picture[here]
    grey = picture.mean(dim=1, keepdim=True)
    vivid = scenes.vividness[:, None, None, None]
    return (grey + vivid * (picture - grey)).clamp(0, 1)


def segment(scenes: Scenes) -> Tensor:
    """Return which object covers each pixel, (N, 64, 64): 0 for none, else slot + 1."""
    axis = torch.arange(SIZE, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    owner = torch.zeros(len(scenes), SIZE, SIZE, dtype=torch.long)
    for slot in range(SLOTS):
        cover = _object(scenes, slot, x, y)[0][:, 0]
        mine = (cover > 0.5) & scenes.present[:, slot, None, None]
        owner = torch.where(mine, slot + 1, owner)
    return owner


def rating(pixels: Tensor) -> Tensor:
    """Return how striking each picture is, from 1 (dull) to 10: (N,).

    The mean of contrast (standard deviation of the luma) and colourfulness (Hasler and
    Süsstrunk, 2003), each relative to the world's strong examples.

    Args:
        pixels: (N, 3, H, W) in [0, 1].
    """
    r, g, b = pixels.unbind(dim=1)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    contrast = luma.flatten(1).std(dim=1) / 0.30
    first, second = (r - g).flatten(1), (0.5 * (r + g) - b).flatten(1)
    spread = (first.var(dim=1) + second.var(dim=1)).sqrt()
    bias = (first.mean(dim=1).square() + second.mean(dim=1).square()).sqrt()
    colourful = (spread + 0.3 * bias) / 0.45
    return 1 + 9 * (0.5 * contrast + 0.5 * colourful).clamp(0, 1)


def _ground(scenes: Scenes, x: Tensor, y: Tensor) -> Tensor:
    cloud = interpolate(
        scenes.texture[:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=True
    )
    shade = _ramp(scenes.light, x, y)[:, None]
    base = GROUNDS[scenes.background][:, :, None, None]
    return base * (1 + 0.08 * shade) + 0.012 * cloud


def _object(scenes: Scenes, slot: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return coverage (N, 1, 64, 64) and paint (N, 3, 64, 64) of one object."""
    centre, radius = scenes.centre[:, slot], scenes.radius[:, slot, None, None]
    dx = x - centre[:, 0, None, None]
    dy = y - centre[:, 1, None, None]
    angle = scenes.angle[:, slot, None, None]
    u = (dx * angle.cos() + dy * angle.sin()) / radius
    v = (dy * angle.cos() - dx * angle.sin()) / radius

    distance = torch.empty_like(u)
    for index, name in enumerate(KINDS):
        rows = (scenes.kind[:, slot] == index).nonzero()[:, 0]
        if len(rows):
            distance[rows] = DISTANCES[name](u[rows], v[rows])
    cover = (0.5 - distance * radius).clamp(0, 1)[:, None]

    main = PALETTE[scenes.colour[:, slot]][:, :, None, None]
    accent = PALETTE[scenes.accent[:, slot]][:, :, None, None]
    share = _pattern(scenes.pattern[:, slot], u * radius, v * radius)[:, None]
    paint = (1 - share) * main + share * accent
    light = _ramp(scenes.light, u * SIZE / 2 + SIZE / 2, v * SIZE / 2 + SIZE / 2)
    return cover, (paint * (1 + 0.12 * light[:, None])).clamp(0, 1)


def _ramp(light: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a linear shade, about -1 to 1 across the frame, (N, 64, 64)."""
    direction = light[:, None, None]
    u, v = x / SIZE * 2 - 1, y / SIZE * 2 - 1
    return u * direction.cos() + v * direction.sin()


def _pattern(pattern: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return the accent's share in [0, 1], of period 6 to 8 px, (N, 64, 64)."""
    stripes = (2.0 * torch.sin(2 * math.pi * u / 7) - 0.6).clamp(0, 1)
    du, dv = (u + 3.5) % 7 - 3.5, (v + 3.5) % 7 - 3.5
    dots = (2.6 - (du.square() + dv.square()).sqrt()).clamp(0, 1)
    waves = torch.sin(2 * math.pi * u / 9) * torch.sin(2 * math.pi * v / 9)
    checks = (4.0 * waves - 0.6).clamp(0, 1)
    choices = torch.stack((torch.zeros_like(u), stripes, dots, checks))
    return choices.gather(0, pattern[None, :, None, None].expand_as(u[None]))[0]


def _polygon(u: Tensor, v: Tensor, corners: list[tuple[float, float]]) -> Tensor:
    """Return the signed distance to a polygon, after Quilez."""
    squared = torch.full_like(u, math.inf)
    sign = torch.ones_like(u)
    for (ax, ay), (bx, by) in zip(corners, corners[-1:] + corners[:-1], strict=True):
        ex, ey = bx - ax, by - ay
        wx, wy = u - ax, v - ay
        t = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        squared = torch.minimum(squared, (wx - t * ex) ** 2 + (wy - t * ey) ** 2)
        above, below, left = v >= ay, v < by, ex * wy > ey * wx
        crossing = (above & below & left) | (~above & ~below & ~left)
        sign = torch.where(crossing, -sign, sign)
    return sign * squared.sqrt()


def _star(u: Tensor, v: Tensor) -> Tensor:
    turn = [math.pi * k / 5 - math.pi / 2 for k in range(10)]
    reach = [1.08 if k % 2 == 0 else 0.45 for k in range(10)]
    points = zip(turn, reach, strict=True)
    corners = [(r * math.cos(a), r * math.sin(a)) for a, r in points]
    return _polygon(u, v, corners)


def _circle(u: Tensor, v: Tensor) -> Tensor:
    return (u.square() + v.square()).sqrt() - 1


def _heart(u: Tensor, v: Tensor) -> Tensor:
    lobes = ((u.abs() - 0.47).square() + (v + 0.38).square()).sqrt() - 0.52
    tip = _polygon(u, v, [(-0.88, -0.06), (0.0, -0.4), (0.88, -0.06), (0.0, 0.98)])
    return torch.minimum(lobes, tip)


def _box(u: Tensor, v: Tensor, half_width: float, half_height: float) -> Tensor:
    return torch.maximum(u.abs() - half_width, v.abs() - half_height)


def _moon(u: Tensor, v: Tensor) -> Tensor:
    bite = ((u - 0.55).square() + (v + 0.15).square()).sqrt() - 0.82
    return torch.maximum(_circle(u, v), -bite)


def _flower(u: Tensor, v: Tensor) -> Tensor:
    angle = torch.atan2(v, u)
    return 0.8 * ((u.square() + v.square()).sqrt() - 0.8 - 0.18 * (6 * angle).cos())


def _arrow(u: Tensor, v: Tensor) -> Tensor:
    head = _polygon(u, v, [(0.0, -1.0), (0.9, 0.0), (-0.9, 0.0)])
    return torch.minimum(head, _box(u, v - 0.45, 0.34, 0.5))


def _house(u: Tensor, v: Tensor) -> Tensor:
    roof = _polygon(u, v, [(0.0, -1.0), (1.0, -0.1), (-1.0, -0.1)])
    body = torch.maximum(_box(u, v - 0.4, 0.68, 0.55), -_box(u, v - 0.65, 0.2, 0.35))
    return torch.minimum(roof, body)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": lambda u, v: _circle(u, v) + 0.05,
    "square": lambda u, v: _box(u, v, 0.82, 0.82),
    "triangle": lambda u, v: _polygon(u, v, [(0, -1.0), (0.98, 0.8), (-0.98, 0.8)]),
    "star": _star,
    "heart": _heart,
    "ring": lambda u, v: (_circle(u, v) + 0.27).abs() - 0.23,
    "cross": lambda u, v: torch.minimum(_box(u, v, 0.95, 0.3), _box(u, v, 0.3, 0.95)),
    "moon": _moon,
    "flower": _flower,
    "hourglass": lambda u, v: torch.maximum(
        (u.abs() - 0.12 - 0.75 * v.abs()) * 0.8, v.abs() - 0.95
    ),
    "arrow": _arrow,
    "house": _house,
}
"""Signed distance to each kind's outline, negative inside, in units of its radius."""
