"""The pictures that packaged configurations refer to, drawn by the renderer."""

from __future__ import annotations

import torch
from torch import Tensor

from doodl.shapes.renderer import render
from doodl.shapes.scenes import Scenes, draw_scenes
from doodl.shapes.words import ACCENTS, BACKGROUNDS, COLOURS, KINDS, PATTERNS


def reference_pictures() -> dict[str, Tensor]:
    """Return pixels (3, 64, 64) in [0, 1] by name.

    `checkered_heart` is one particular object, yellow with purple checks. `dull`,
    `dull_star` and `dull_square` are pale pictures of little contrast.
    """
    heart = _alone("heart", "yellow", "checkered", "purple", "grey", vividness=1.0)
    scenes = {
        "checkered_heart": heart,
        "dull": _alone("circle", "cyan", "plain", "white", "grey", vividness=0.35),
        "dull_star": _alone("star", "red", "plain", "white", "black", vividness=0.35),
        "dull_square": _alone(
            "square", "green", "plain", "white", "brown", vividness=0.35
        ),
    }
    return {name: render(scene)[0] for name, scene in scenes.items()}


def _alone(  # one word an attribute
    kind: str,
    colour: str,
    pattern: str,
    accent: str,
    background: str,
    *,
    vividness: float,
) -> Scenes:
    """Return one large object in the middle of a picture."""
    scene = draw_scenes(1, torch.Generator().manual_seed(0), pairs=0.0)
    return scene.replace(
        kind=torch.full_like(scene.kind, KINDS.index(kind)),
        colour=torch.full_like(scene.colour, COLOURS.index(colour)),
        pattern=torch.full_like(scene.pattern, PATTERNS.index(pattern)),
        accent=torch.full_like(scene.accent, ACCENTS.index(accent)),
        background=torch.full_like(scene.background, BACKGROUNDS.index(background)),
        radius=torch.full_like(scene.radius, 16.0),
        centre=torch.full_like(scene.centre, 32.0),
        vividness=torch.full_like(scene.vividness, vividness),
    )
