"""Pure functions of the latent pair, `latents` of shape (2, B, C, h, w)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def draw(
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Initial noise of B generations, (B, C, h, w), what diffusers draws on a CPU.

    Always drawn in float32 and then cast, since a float64 draw is different noise.

    Args:
        seeds: one a generation.
        shape: (C, h, w).
        dtype: of the result.
    """
    draws = [
        torch.randn((1, *shape), generator=torch.Generator("cpu").manual_seed(seed))
        for seed in seeds
    ]
    return torch.cat(draws).to(dtype)


def stream(seed: int, name: str, update: int) -> torch.Generator:
    """A CPU generator that belongs to one generation, purpose and update.

    Randomness that depends on nothing else can be resumed at any update, and does not
    change with the batch or the process a generation happens to be in.
    """
    digest = hashlib.blake2b(f"{seed}/{name}/{update}".encode(), digest_size=8).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest, "big") >> 1)


def noise(seeds: Sequence[int], name: str, update: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise (B, *shape) of the generations' own streams."""
    draws = [
        torch.randn(*shape, generator=stream(seed, name, update)) for seed in seeds
    ]
    return torch.stack(draws)


def norms(latents: Tensor) -> Tensor:
    """Euclidean norm of each latent, (2, B)."""
    return latents.flatten(2).norm(dim=2)


def average(latents: Tensor) -> Tensor:
    """Both latents replaced by their mean."""
    return latents.mean(dim=0, keepdim=True).expand_as(latents)


def renormalize(latents: Tensor, target: Tensor) -> Tensor:
    """Each latent rescaled to a given norm.

    Args:
        latents: (2, B, C, h, w).
        target: (2, B).
    """
    return latents * (target / norms(latents))[:, :, None, None, None]


def perturb(latents: Tensor, noise: Tensor, scale: float) -> Tensor:
    """The same noise (B, C, h, w), of standard deviation `scale`, added to both."""
    return latents + scale * noise


def gap(latents: Tensor) -> Tensor:
    """Mean distance between the elements of the two latents, (B,)."""
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
    """Properties that show drift off white noise, means over the pair, (B,) each."""
    return {
        "latent_norm": norms(latents).mean(dim=0),
        "autocorrelation": autocorrelation(latents).mean(dim=0),
        "kurtosis": kurtosis(latents).mean(dim=0),
    }
