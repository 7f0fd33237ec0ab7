"""Variations of scenes: captions in the other order, and twins that differ a little."""

from __future__ import annotations

import torch

from doodl.shapes.scenes import Scenes


def swap_order(scenes: Scenes, generator: torch.Generator) -> Scenes:
    """Return the same pictures with captions that name two objects in the other order.

    Whether size, relation and background are named is drawn anew.
    """
    n, two = len(scenes), scenes.present[:, 1]
    order = torch.where(two[:, None], torch.tensor([1, 0, 2]), torch.arange(3))
    changes = {
        name: getattr(scenes, name).gather(1, order)
        for name in ("kind", "colour", "pattern", "accent", "radius", "angle")
    }
    changes |= {
        name: getattr(scenes, name).gather(1, order[:, :2])
        for name in ("says_colour", "says_kind")
    }
    draws = torch.rand(3, n, generator=generator)
    return scenes.replace(
        centre=scenes.centre.gather(1, order[:, :, None].expand(-1, -1, 2)),
        relation=torch.where(two, scenes.relation ^ 1, scenes.relation),
        says_size=draws[0] < 0.5,
        says_relation=draws[1] < 0.9,
        says_background=draws[2] < 0.6,
        **changes,
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
