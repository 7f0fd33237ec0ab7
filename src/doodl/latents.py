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


def rotate(
    latents: Tensor, step: Tensor, angle: Tensor | float | None = None
) -> Tensor:
    """Each latent moved against a step, along a great circle of its own sphere.

    With the tangent  t = g - (g . z / z . z) z  of the step g,

        z <- cos(angle) z - sin(angle) |z| t / |t|.

    Without a tangent z remains where it is.

    Args:
        latents: z, (2, B, C, h, w).
        step: g, of the same shape.
        angle: in radians, (2, B) or the same for all; by default |t| / |z|, the
            exponential map, equal to  z - t  to first order in t.
    """
    square = latents.square().flatten(2).sum(dim=2)
    along = (step * latents).flatten(2).sum(dim=2) / square
    tangent = step - _wide(along) * latents
    length, radius = norms(tangent), square.sqrt()
    if angle is None:
        angle = length / radius
    angle = torch.as_tensor(angle).to(latents).expand_as(length)
    angle = torch.where(length > 0, angle, 0)
    reach = angle.sin() * radius / torch.where(length > 0, length, 1)
    return _wide(angle.cos()) * latents - _wide(reach) * tangent


def _wide(values: Tensor) -> Tensor:
    """Append the dimensions of a latent to one value for each latent, (2, B)."""
    return values[:, :, None, None, None]


# White noise --------------------------------------------------------------------------

BLOCK = 16
"""Neighbouring frequencies that share the two constraints of white noise."""
GAMMA = math.pi / 4
"""Square of the mean magnitude of a complex standard normal number."""
WHITE = 0.98
"""A `whiteness` below which noise of 1024 numbers or more is no longer white."""


def whiten(latents: Tensor) -> Tensor:
    """Each latent projected onto the spectra that white noise has.

    The N numbers of a latent are flattened and transformed; y_k are the N/2 complex
    amplitudes, with those of frequencies 0 and N/2 joined in one. White noise has
    E|y| = sqrt(pi)/2 and E|y|^2 = 1, and the projection demands both of every block of
    B = 16 neighbouring frequencies:

        sum |y| = sqrt(pi)/2 B,   sum |y|^2 = B.

    The nearest such point shrinks the magnitudes, |y| <- c relu(|y| - l), and keeps the
    phases. The last block has the remaining 16 to 31 frequencies. The result has the
    norm sqrt(N), whatever the scale of the latent. A block whose largest magnitudes are
    all equal is only rescaled; zeros remain zeros.

    Args:
        latents: (k, B, C, h, w), or their gradient, with at least 4 numbers each.

    References:
        Gradient projection of GPER, arXiv 2602.08646. Hoyer, Non-negative Matrix
        Factorization with Sparseness Constraints, JMLR 2004, has the projection onto
        two norms.
    """
    flat = latents.flatten(2)
    count = flat.shape[2]
    spectrum = torch.fft.rfft(flat, norm="ortho")
    # Frequency 0 is real, and so is N/2, which an odd N does not have.
    whole = (count - 1) // 2
    inner = spectrum[..., 1 : whole + 1]
    if count % 2:
        edge = torch.sgn(spectrum[..., :1])
        inner = _whiten_blocks(inner)
        ends = [edge, inner]
    else:
        joined = torch.complex(spectrum[..., :1].real, spectrum[..., -1:].real)
        y = _whiten_blocks(torch.cat((joined * math.sqrt(0.5), inner), dim=-1))
        edge = y[..., :1] * math.sqrt(2)
        zero = torch.zeros_like(edge.real)
        first, last = torch.complex(edge.real, zero), torch.complex(edge.imag, zero)
        ends = [first, y[..., 1:], last]
    white = torch.fft.irfft(torch.cat(ends, dim=-1), n=count, norm="ortho")
    return white.view_as(latents)


def _whiten_blocks(y: Tensor) -> Tensor:
    """Project the blocks of the last dimension of complex amplitudes."""
    whole = max(y.shape[-1] // BLOCK - 1, 0) * BLOCK
    blocks, rest = y[..., :whole].unflatten(-1, (-1, BLOCK)), y[..., whole:]
    return torch.cat((_whiten_block(blocks).flatten(-2), _whiten_block(rest)), dim=-1)


def _whiten_block(y: Tensor) -> Tensor:
    """Project blocks (..., B) of complex amplitudes onto the two norms.

    With w = |y|, g = pi/4, and S1 and S2 the sums of the m largest w and of their
    squares, the shrinkage that leaves  (sum relu(w - l))^2 = g B sum relu(w - l)^2  is

        l = (S1 - sqrt(g B (m S2 - S1^2) / (m - g B))) / m.

    The quotient of both sums rises as l falls, so that those w are above l for which
    l = w leaves less than g B: the m largest are found by a comparison of all pairs,
    without a sort, a loop or a synchronisation.
    """
    size = y.shape[-1]
    target = GAMMA * size
    magnitudes = y.abs()
    largest = magnitudes.amax(dim=-1, keepdim=True)
    w = magnitudes / torch.where(largest > 0, largest, 1)
    above = (w.unsqueeze(-1) - w.unsqueeze(-2)).clamp_min(0)
    inside = above.sum(dim=-2).square() <= target * above.square().sum(dim=-2)
    m = inside.sum(dim=-1, keepdim=True)
    mean = torch.where(inside, w, 0).sum(dim=-1, keepdim=True) / m
    # (m S2 - S1^2) / m, about the mean: the difference of both would lose digits.
    spread = torch.where(inside, (w - mean).square(), 0).sum(dim=-1, keepdim=True)
    shrunk = (w - mean + (target * spread / ((m - target) * m)).sqrt()).clamp_min(0)
    shrunk = torch.where(shrunk.any(dim=-1, keepdim=True), shrunk, w)
    norm = shrunk.norm(dim=-1, keepdim=True)
    scale = math.sqrt(size) / torch.where(norm > 0, norm, 1)
    return torch.polar(scale * shrunk, y.angle())


def whiteness(latents: Tensor) -> Tensor:
    """Cosine between each latent and its projection by `whiten`, (2, B).

    It is about .99 for white noise of 16384 numbers and .985 for 1024.
    """
    return torch.cosine_similarity(latents.flatten(2), whiten(latents).flatten(2), -1)


def drift(latents: Tensor) -> dict[str, Tensor]:
    """Return `whiteness`, the mean over the pair, (B,), as `properties` has others."""
    return {"whiteness": whiteness(latents).mean(dim=0)}


def drift_warning(whiteness: Tensor, num_elements: int) -> str | None:
    """Return a sentence about latents that are no longer white noise, if any is.

    Reading the values waits for the device.

    Args:
        whiteness: (B,), as `drift` returns it.
        num_elements: N of one latent. Below 1024 white noise itself scatters too much.
    """
    least = whiteness.min().item() if whiteness.numel() else 1.0
    if num_elements < 1024 or not least < WHITE:
        return None
    return (
        f"A latent is no longer white noise: its cosine with its own white-noise "
        f"projection is {least:.3f}, below {WHITE}. Images of such latents lose "
        "diversity and detail; take fewer updates, a smaller lr, or a rule with Whiten."
    )
