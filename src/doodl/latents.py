"""Pure functions of the latent pair, `latents` of shape (2, B, C, h, w)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def draw(
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Initial noise of B generations, (B, C, h, w).

    The noise equals what diffusers draws with a CPU generator of the same seed. It is
    drawn in float32 and then cast, because drawing in float64 gives different noise.

    Args:
        seeds: one seed for each generation.
        shape: (C, h, w) of one latent.
        dtype: type of the result.
    """
    draws = [
        torch.randn((1, *shape), generator=torch.Generator("cpu").manual_seed(seed))
        for seed in seeds
    ]
    return torch.cat(draws).to(dtype)


def stream(seed: int, name: str, update: int) -> torch.Generator:
    """CPU random generator that is determined by seed, name and update alone.

    Therefore an optimisation can be resumed at any update, and its random numbers do
    not depend on the batch or the process of the generation.

    Args:
        seed: seed of the generation.
        name: purpose of the random numbers, for example "noise".
        update: number of the update.
    """
    digest = hashlib.blake2b(f"{seed}/{name}/{update}".encode(), digest_size=8).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest, "big") >> 1)


def noise(seeds: Sequence[int], name: str, update: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise (B, *shape), drawn from each generation's `stream`."""
    draws = [
        torch.randn(*shape, generator=stream(seed, name, update)) for seed in seeds
    ]
    return torch.stack(draws)


def redraw(seeds: Sequence[int], number: int, shape: tuple[int, int, int]) -> Tensor:
    """One of each generation's draws of initial noise, (B, C, h, w), in float32.

    Args:
        seeds: one seed for each generation.
        number: of the draw; 0 is what `draw` returns.
        shape: (C, h, w) of one latent.
    """
    return noise(seeds, "draw", number, shape) if number else draw(seeds, shape)


def norms(latents: Tensor) -> Tensor:
    """Euclidean norm of each latent, (2, B)."""
    return latents.flatten(2).norm(dim=2)


def average(latents: Tensor) -> Tensor:
    """The pair with both latents replaced by their mean."""
    return latents.mean(dim=0, keepdim=True).expand_as(latents)


def renormalize(latents: Tensor, target: Tensor) -> Tensor:
    """Latents rescaled to given norms:  z * target / ||z||.

    Args:
        latents: (2, B, C, h, w).
        target: (2, B) norms.
    """
    return latents * (target / norms(latents))[:, :, None, None, None]


def perturb(latents: Tensor, noise: Tensor, scale: float) -> Tensor:
    """Both latents plus the same noise:  z + scale * noise.

    Args:
        latents: (2, B, C, h, w).
        noise: (B, C, h, w), standard normal.
        scale: standard deviation of the added noise.
    """
    return latents + scale * noise


def gap(latents: Tensor) -> Tensor:
    """Mean absolute difference between the elements of the two latents, (B,)."""
    return (latents[0] - latents[1]).abs().flatten(1).mean(dim=1)


def autocorrelation(latents: Tensor) -> Tensor:
    """Correlation of neighbouring elements, (2, B): 0 for white noise."""
    centred = latents - latents.mean(dim=(-2, -1), keepdim=True)
    variance = centred.square().flatten(2).mean(dim=2)
    rows = (centred[..., 1:, :] * centred[..., :-1, :]).flatten(2).mean(dim=2)
    columns = (centred[..., 1:] * centred[..., :-1]).flatten(2).mean(dim=2)
    return (rows + columns) / (2 * variance)


def kurtosis(latents: Tensor) -> Tensor:
    """Fourth standardised moment of each latent's elements, (2, B): 3 for a normal."""
    flat = latents.flatten(2)
    centred = flat - flat.mean(dim=2, keepdim=True)
    return centred.pow(4).mean(dim=2) / centred.square().mean(dim=2).square()


def properties(latents: Tensor) -> dict[str, Tensor]:
    """Properties that show how far a pair is from white noise.

    Returns:
        `latent_norm`, `autocorrelation` and `kurtosis`, (B,) means over the pair.
    """
    return {
        "latent_norm": norms(latents).mean(dim=0),
        "autocorrelation": autocorrelation(latents).mean(dim=0),
        "kurtosis": kurtosis(latents).mean(dim=0),
    }


def normalize(latents: Tensor) -> Tensor:
    """Each latent rescaled to a root mean square of 1; a zero remains one."""
    size = norms(latents)
    target = torch.full_like(size, math.sqrt(latents[0, 0].numel()))
    return renormalize(latents, target).where(_wide(size) > 0, 0)


def _wide(values: Tensor) -> Tensor:
    """Append the dimensions of a latent to one value for each latent, (2, B)."""
    return values[:, :, None, None, None]
