"""Where the objects of a scene are: inside the frame and apart from each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SIZE = 64
"""Side of a picture in pixels."""
SLOTS = 3
"""Objects that a scene has room for: two of the caption and a bystander."""


@dataclass(frozen=True)
class Draws:
    """Random numbers of one CPU generator."""

    generator: torch.Generator

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return numbers between `low` and `high`."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Return integers from 0 to `high` - 1."""
        return torch.randint(high, shape, generator=self.generator)


def arrange(
    two: Tensor, third: Tensor, relation: Tensor, draws: Draws
) -> tuple[Tensor, Tensor]:
    """Return radii (N, 3) and centres (N, 3, 2) that keep objects apart and inside.

    Args:
        two: (N,) whether there is a second object.
        third: (N,) whether there is a bystander.
        relation: (N,) index into `RELATIONS`, of the first object to the second.
        draws: the source of randomness.
    """
    n = two.shape[0]
    alone = draws.uniform(n, low=8, high=18)
    radius = draws.uniform(n, SLOTS, low=8, high=12)
    radius[:, 0] = torch.where(two, radius[:, 0], alone)
    room = (SIZE / 2 - 3 - radius[:, :1]).clamp(max=14)
    free = SIZE / 2 + room * draws.uniform(n, 2, low=-1, high=1)

    distance = radius[:, 0] + radius[:, 1] + draws.uniform(n, low=2, high=7)
    sign = torch.where(relation % 2 == 0, -1.0, 1.0)
    along = torch.stack((sign, -sign), dim=1) * distance[:, None] / 2
    across = draws.uniform(n, 2, low=-8, high=8)
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
