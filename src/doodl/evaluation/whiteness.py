"""How far latents are from the white noise that a diffusion model starts from."""

from __future__ import annotations

import math

import torch
from scipy import stats
from torch import Tensor

from doodl.latents import autocorrelation, norms


def whiteness(latents: Tensor) -> dict[str, float]:
    """Return statistics of latents that have known values for white noise.

    - `norm`: Euclidean norm over its expected value, sqrt(number of elements): 1;
    - `autocorrelation`: of neighbouring elements: 0;
    - `kurtosis`: fourth standardised moment: 3;
    - `low_frequencies`: mean power of frequencies in the lower half of the spectrum,
      over the mean power of all: 1; smooth latents exceed it.

    Args:
        latents: (k, C, h, w), a pair or a single latent; means over k.
    """
    batch = latents.float()[:, None]
    flat = latents.double().flatten(1)
    kurtosis = stats.kurtosis(flat.numpy(), axis=1, fisher=False)
    return {
        "norm": norms(batch).mean().item() / math.sqrt(flat.shape[1]),
        "autocorrelation": autocorrelation(batch).mean().item(),
        "kurtosis": float(kurtosis.mean()),
        "low_frequencies": low_frequencies(latents),
    }


def low_frequencies(latents: Tensor) -> float:
    """Return mean power below half of the Nyquist frequency, over that of all.

    The mean of each channel, frequency 0, is left out.

    Args:
        latents: (..., h, w).
    """
    height, width = latents.shape[-2:]
    power = torch.fft.fft2(latents.double()).abs().square()
    power = power.reshape(-1, height, width).mean(dim=0)
    rows = torch.fft.fftfreq(height).abs()[:, None]
    columns = torch.fft.fftfreq(width).abs()[None]
    radius = torch.maximum(rows, columns)
    low = (radius > 0) & (radius < 0.25)
    return (power[low].mean() / power[radius > 0].mean()).item()
