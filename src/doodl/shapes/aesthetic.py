"""Fits a linear head that predicts the renderer's rating from a CLIP's embedding.

The head has LAION's layout, and is found in closed form: no network is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from doodl.images import to_images
from doodl.pretrained import Clip
from doodl.shapes.renderer import rating, render
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.views import views


def draw_rated(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return pixels (N, 3, 64, 64), whole pictures and crops, and ratings (N,).

    Every second one has contrast and colourfulness scaled by 0 to 2.5, since renders
    alone would cover only the middle of the ratings' range.
    """
    pixels = render(draw_scenes(count, generator, held_out="with"))
    contrast, colour = 2.5 * torch.rand(2, count, 1, 1, 1, generator=generator)
    untouched = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    grey = pixels.mean(dim=1, keepdim=True)
    level = grey.mean(dim=(2, 3), keepdim=True)
    changed = level + contrast * (grey - level) + colour * (pixels - grey)
    pixels = views(torch.where(untouched, pixels, changed), generator)[0].clamp(0, 1)
    return pixels, rating(pixels)


def ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return the minimiser of  mean (y - w x - b)^2 + penalty |w|^2.

    Args:
        x: (N, D).
        y: (N,).
        penalty: above 0.

    Returns:
        w (1, D) and b (1,).
    """
    centre, level = x.mean(dim=0), y.mean()
    x, y = x - centre, y - level
    gram = x.T @ x / len(x) + penalty * torch.eye(x.shape[1], dtype=x.dtype)
    w = torch.linalg.solve(gram, x.T @ y / len(x))
    return w[None], (level - w @ centre)[None]


@torch.no_grad()
def fit_head(
    clip: Clip, *, count: int = 8192, penalty: float = 1e-5, seed: int = 41
) -> tuple[Tensor, Tensor]:
    """Return weight (1, D) and bias (1,) for a CLIP's unit embeddings.

    Args:
        clip: the guide that will see pictures through the head.
        count: pictures to fit.
        penalty: of `ridge`; unit embeddings have variances of about 1 / D.
        seed: of the pictures.
    """
    generator = torch.Generator().manual_seed(seed)
    embeddings, ratings = [], []
    for size in torch.arange(count).split(256):
        pixels, y = draw_rated(len(size), generator)
        embeddings.append(normalize(clip.encode_image(to_images(pixels)), dim=1))
        ratings.append(y)
    w, b = ridge(torch.cat(embeddings).double(), torch.cat(ratings).double(), penalty)
    return w.float(), b.float()


@torch.no_grad()
def correlation(
    rate: Callable[[Tensor], Tensor], *, seed: int = 9, count: int = 1024
) -> float:
    """Return Pearson's r of predicted and true ratings of clean renders.

    Args:
        rate: predicted ratings (N,) of pixels (N, 3, 64, 64).
        seed: of the scenes.
        count: of the scenes.
    """
    generator = torch.Generator().manual_seed(seed)
    pixels = render(draw_scenes(count, generator, held_out="with"))
    return torch.corrcoef(torch.stack((rate(pixels), rating(pixels))))[0, 1].item()


def save_head(weight: Tensor, bias: Tensor, folder: Path) -> None:
    """Write a folder that `doodl.guides.Aesthetic` takes as its head."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"weight": weight.contiguous(), "bias": bias.contiguous()}
    save_file(tensors, folder / "model.safetensors")
