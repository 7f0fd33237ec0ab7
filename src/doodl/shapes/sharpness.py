"""How sharp the outlines of objects are in samples, relative to renders."""

from __future__ import annotations

from torch import Tensor

EDGES = 0.05
"""Share of a picture's pixels that outlines take up: about those of two objects."""


def edge_energy(pixels: Tensor) -> Tensor:
    """Return the mean squared gradient of each picture's strongest edges, (N,).

    Args:
        pixels: (N, 3, H, W) in [0, 1].
    """
    across = pixels[..., :-1, 1:] - pixels[..., :-1, :-1]
    down = pixels[..., 1:, :-1] - pixels[..., :-1, :-1]
    energy = (across.square() + down.square()).sum(dim=1).flatten(1)
    count = max(1, round(EDGES * energy.shape[1]))
    return energy.topk(count, dim=1).values.mean(dim=1)


def sharpness(samples: Tensor, renders: Tensor) -> float:
    """Return the edge energy of samples over that of renders of the same captions."""
    return (edge_energy(samples).mean() / edge_energy(renders).mean()).item()
