"""Samples of the shapes world for its figures: diffusers' DDIM and doodl's EDICT."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from doodl import latents as pairs
from doodl.images import to_pixels
from doodl.pretrained import TextToImage
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.sampler import Sampler

BATCH = 32


@dataclass(frozen=True)
class Chain:
    """Settings of an EDICT chain.

    Args:
        steps: T.
        mixing: p.
        guidance_scale: w.
    """

    steps: int
    mixing: float
    guidance_scale: float


PAPER = Chain(steps=50, mixing=0.93, guidance_scale=7.5)
"""The paper's setting."""
SHORT = Chain(steps=20, mixing=0.75, guidance_scale=5.0)
"""The setting of the packaged configurations."""


def sample(
    model: TextToImage,
    captions: list[str],
    guidance_scale: float,
    *,
    steps: int = 50,
    first_seed: int = 0,
) -> Tensor:
    """Return diffusers' own DDIM samples (N, 3, 64, 64) in [0, 1].

    Seeds are `first_seed` and those after it.
    """
    model.pipeline.set_progress_bar_config(disable=True)
    batches = []
    for start in range(0, len(captions), BATCH):
        texts = captions[start : start + BATCH]
        first = first_seed + start
        numbers = range(first, first + len(texts))
        pictures = model.pipeline(
            texts,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(n) for n in numbers],
            output_type="pt",
        ).images
        batches.append(pictures.float())
    return torch.cat(batches)


@torch.no_grad()
def edict_pairs(model: TextToImage, captions: list[str], chain: Chain) -> Tensor:
    """Return the denoised pairs (2, N, C, h, w), seeds 0, 1, ...

    This is the only place where the world's figures use doodl's sampler.
    """
    shape = model.latent_shape()
    sampler = Sampler(
        model.schedule(shape),
        GuidedDenoiser(model.network, chain.guidance_scale, model.dtype),
        method=EDICT(chain.mixing),
        num_steps=chain.steps,
    )
    batches = []
    for start in range(0, len(captions), BATCH):
        texts = captions[start : start + BATCH]
        initial = pairs.draw(range(start, start + len(texts)), shape)
        conditioning = model.conditioning(texts, [""] * len(texts))
        batches.append(sampler.sample(torch.stack((initial, initial)), conditioning))
    return torch.cat(batches, dim=1)


def relative_gap(final: Tensor) -> float:
    """Return the mean distance of the pairs' latents in standard deviations.

    Args:
        final: (2, N, C, h, w) denoised pairs.
    """
    spread = final[0].flatten(1).std(dim=1)
    return (pairs.gap(final) / spread).mean().item()


@torch.no_grad()
def decode(model: TextToImage, latents: Tensor) -> Tensor:
    """Return pixels (N, 3, 64, 64) in [0, 1] of latents (N, C, h, w)."""
    return to_pixels(model.decode(latents))


@torch.no_grad()
def guided_call_gflop(model: TextToImage, *, batch_size: int = 4) -> float:
    """Return the GFLOP of one guided call of the denoiser, a multiply-add being two."""
    shape = model.latent_shape()
    conditioning = model.conditioning(["a red circle"] * batch_size, [""] * batch_size)
    denoiser = GuidedDenoiser(model.network, 5.0, model.dtype)
    with FlopCounterMode(display=False) as counter:
        denoiser(torch.zeros(batch_size, *shape), 500.0, conditioning)
    return counter.get_total_flops() / 1e9
