"""Three judges that read what an object of the shapes world is; no guide is among them.

They share neither networks nor features: a classifier of attributes; a fine-grained
classifier with a linear probe of the judge CLIP for the colours; and the comparison of
silhouette and pattern with renders, without any network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize, one_hot

from doodl.evaluation.metrics import ClipFeatures
from doodl.images import to_images
from doodl.pretrained import load_clip, load_timm, locate
from doodl.shapes.fine import CLASSES
from doodl.shapes.judge import AttributeJudge
from doodl.shapes.renderer import GROUNDS, PALETTE, render
from doodl.shapes.scenes import Scenes, draw_scenes
from doodl.shapes.words import BACKGROUNDS, COLOURS, NAMED, PATTERNS

Seen = Mapping[str, str]
"""Kind, pattern, colour and background that a judge reads."""
PROBE = 1024
"""Renders on which the probe of colours is fitted."""
SIDE = 24
"""Of silhouettes that are compared."""
PLAIN = 0.09
"""Standard deviation of an object's colours below which it has no pattern."""


class Reader(Protocol):
    """A judge that reads what a picture shows."""

    def __call__(self, pixels: Tensor) -> list[Seen]:
        """Return what each picture (N, 3, 64, 64) in [0, 1] shows."""


class Attributes:
    """Reads by the attribute judge, which also knows the size."""

    def __init__(self) -> None:
        self.judge = AttributeJudge()
        self.judge.load()

    def __call__(self, pixels: Tensor) -> list[Seen]:
        """Return what each picture shows."""
        return [
            {name.removeprefix("first_"): value for name, value in found.items()}
            for found in self.judge.describe(pixels)
        ]


class Classes:
    """Reads kind and pattern by a fine-grained classifier, colours by the judge CLIP.

    The classifier is the second one where it is installed. Colours come from a ridge
    regression on the CLIP's features of renders.
    """

    def __init__(self) -> None:
        try:
            locate("shapes/fine_judge", "config.json")
            self.network = load_timm("shapes/fine_judge", "cpu")
        except ValueError:
            self.network = load_timm("shapes/fine", "cpu")
        self.clip = ClipFeatures(load_clip("shapes/judge"))
        drawn = torch.Generator().manual_seed(5)
        scenes = draw_scenes(PROBE, drawn, held_out="with", pairs=0.0)
        values = torch.cat([self._features(p) for p in render(scenes).split(128)])
        eye = torch.eye(values.shape[1])
        wanted = {
            "colour": one_hot(scenes.colour[:, 0], len(COLOURS)),
            "background": one_hot(scenes.background, len(BACKGROUNDS)),
        }
        square = values.T @ values + 1e-3 * eye
        self.probes = {
            name: torch.linalg.solve(square, values.T @ classes.float())
            for name, classes in wanted.items()
        }

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> list[Seen]:
        """Return what each picture shows."""
        classes = self.network(to_images(pixels)).argmax(dim=1).tolist()
        values = self._features(pixels)
        colour, ground = (
            (values @ self.probes[name]).argmax(dim=1).tolist()
            for name in ("colour", "background")
        )
        return [
            {
                "kind": CLASSES[index].partition(" ")[2],
                "pattern": CLASSES[index].partition(" ")[0],
                "colour": COLOURS[colour[i]],
                "background": BACKGROUNDS[ground[i]],
            }
            for i, index in enumerate(classes)
        ]

    def _features(self, pixels: Tensor) -> Tensor:
        values = 10 * normalize(self.clip(pixels), dim=1)
        return torch.cat([values, torch.ones(len(values), 1)], dim=1)


class Silhouettes:
    """Reads by comparison with renders: outline, pattern inside it, nearest colours.

    The kind is that of the render whose outline overlaps most, the pattern that of the
    render of this kind whose light and dark parts correlate most. Every colour that
    covers a fifth of the object is named, since a pattern has two.
    """

    def __init__(self) -> None:
        angles, radii = torch.linspace(-0.3, 0.3, 5), torch.linspace(9, 18, 4)
        sizes = (len(NAMED), len(PATTERNS), len(angles), len(radii))
        self.looks = torch.cartesian_prod(*map(torch.arange, sizes))
        scenes = _alike(len(self.looks))
        scenes.radius[:, 0] = radii[self.looks[:, 3]]
        scenes.kind[:, 0], scenes.pattern[:, 0] = self.looks[:, 0], self.looks[:, 1]
        scenes.angle[:, 0] = angles[self.looks[:, 2]]
        outlines = [outline(picture) for picture in render(scenes)]
        self.masks = torch.stack([mask for mask, _, _ in outlines])
        self.tones = torch.stack([tone for _, tone, _ in outlines])

    def __call__(self, pixels: Tensor) -> list[Seen]:
        """Return what each picture shows."""
        return [self._read(picture) for picture in pixels]

    def _read(self, picture: Tensor) -> Seen:
        mask, tone, spread = outline(picture)
        both = torch.minimum(mask, self.masks).sum(dim=(1, 2))
        overlap = both / torch.maximum(mask, self.masks).sum(dim=(1, 2))
        kind = int(self.looks[overlap.argmax(), 0])
        pattern = 0
        if spread > PLAIN:
            own = (self.looks[:, 0] == kind) & (self.looks[:, 1] > 0)
            matched = (self.tones[own] * tone).sum(dim=(1, 2)).abs()
            pattern = int(self.looks[own][matched.argmax(), 1])
        ground, colours = nearest_colours(picture)
        return {
            "kind": NAMED[kind],
            "pattern": PATTERNS[pattern],
            "colour": " ".join(colours),
            "background": ground,
        }


def outline(picture: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return what differs from the background of a picture (3, H, W), cut to its box.

    Returns:
        the mask (`SIDE`, `SIDE`) in [0, 1]; inside it the colours along their principal
        axis, with norm 1; and the standard deviation of that axis.
    """
    mask = (picture - ground_of(picture)).norm(dim=0) > 0.25
    if mask.sum() < 9:
        return torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE), 0.0
    colours = picture[:, mask].T
    centred = colours - colours.mean(dim=0)
    axis = torch.linalg.svd(centred, full_matrices=False).Vh[0]
    tone = torch.zeros_like(picture[0])
    tone[mask] = centred @ axis
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    found = torch.stack([mask.float()[box], tone[box]])[None]
    small = interpolate(found, (SIDE, SIDE), mode="bilinear", align_corners=False)[0]
    spread = float((centred @ axis).std())
    return small[0], small[1] / small[1].norm().clamp(min=1e-6), spread


def ground_of(picture: Tensor) -> Tensor:
    """Return the background (3, H, W): a linear shade through the picture's edge."""
    height, width = picture.shape[1:]
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    plane = torch.stack([torch.ones_like(x), x, y], dim=-1)
    edge = torch.ones(height, width, dtype=torch.bool)
    edge[3:-3, 3:-3] = False
    shade = torch.linalg.lstsq(plane[edge], picture[:, edge].T).solution
    return (plane @ shade).permute(2, 0, 1)


def nearest_colours(picture: Tensor) -> tuple[str, list[str]]:
    """Return the name of the background, and of the colours before it."""
    middle = ground_of(picture).mean(dim=(1, 2))
    ground = int((GROUNDS - middle).norm(dim=1).argmin())
    palette = torch.cat([PALETTE[: len(COLOURS)], GROUNDS])
    nearest = torch.cdist(picture.flatten(1).T, palette).argmin(dim=1)
    covered = nearest.bincount(minlength=len(palette))[: len(COLOURS)]
    large = covered >= 0.2 * covered.sum().clamp(min=1)
    return BACKGROUNDS[ground], [COLOURS[i] for i in large.nonzero()[:, 0].tolist()]


def _alike(count: int) -> Scenes:
    """Return scenes of one red and blue object before the same white background."""
    drawn = torch.Generator().manual_seed(0)
    scenes = draw_scenes(1, drawn, held_out="with", pairs=0.0)
    scenes = scenes[torch.zeros(count, dtype=torch.long)]
    scenes.centre[:, 0] = 32.0
    scenes.colour[:, 0], scenes.accent[:, 0], scenes.background[:] = 0, 2, 0
    return scenes
