"""White noise: how far latents are from it, and the projection of gradients onto it."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

BLOCK = 16
"""Neighbouring frequencies that share the two constraints of white noise."""
GAMMA = math.pi / 4
"""Square of the mean magnitude of a complex standard normal number."""
KEPT = 0.95
"""Share of its first `whiteness` below which a latent has moved away from noise. The
generations of a bare `doodl fit` keep about .98 and more."""

LEAST = 1024
"""Numbers of a latent below which the `whiteness` of noise itself varies too much."""


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
    all equal is only rescaled; zeros remain zeros. In the shapes world the projection
    is less than 0.001% of the arithmetic of an update of `configs/fast.yaml`.

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

    It is about .99 for white noise, and seldom below .983 for one of 1024 numbers.
    """
    return torch.cosine_similarity(latents.flatten(2), whiten(latents).flatten(2), -1)


class Drift:
    """Measures before every update how white latents are.

    It warns once, if the whiteness of a generation falls below `KEPT` times that of its
    initial latents. Latents of fewer than `LEAST` numbers are never warned about.
    """

    def __init__(self) -> None:
        self.first = torch.empty(0)
        self.warned = False

    def start(self, latents: Tensor) -> None:
        """Begin a batch with its initial latents, also where it is resumed later."""
        self.first = whiteness(latents).mean(dim=0)

    def __call__(self, latents: Tensor) -> dict[str, Tensor]:
        """Return `whiteness`, the mean over the pair, (B,).

        Reading it for the warning waits for the device.
        """
        found = whiteness(latents).mean(dim=0)
        if not self.warned and latents[0, 0].numel() >= LEAST:
            fallen = (found < KEPT * self.first).tolist()  # never true of NaN
            if any(fallen):
                self.warned = True
                i = fallen.index(True)
                text = _drifted(self.first[i].item(), found[i].item())
                warnings.warn(text, stacklevel=2)
        return {"whiteness": found}


def _drifted(first: float, found: float) -> str:
    return (
        "A latent has moved away from white noise, which the network was trained on: "
        f"its cosine with its own white-noise projection was {first:.3f} before the "
        f"updates and is {found:.3f}, below {KEPT} of that; take fewer updates or a "
        "smaller lr."
    )
