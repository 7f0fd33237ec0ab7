"""Trains the shapes world's VAE, an `AutoencoderKL` with 16x16 latents."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import l1_loss, mse_loss

from doodl.shapes.arrangement import SIZE
from doodl.shapes.renderer import render
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.training import Training, fit

SCALING = 0.18215
"""Stable Diffusion's: latents are whitened to a standard deviation of 1 / 0.18215."""


def make_autoencoder() -> AutoencoderKL:
    """Return the untrained network: from 64 x 64 px to latents 4 x 16 x 16."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=SIZE,
        scaling_factor=SCALING,
        mid_block_add_attention=False,
    )


class CropTraining(Training):
    """Encoder and decoder on 32 px crops around the edges of objects."""

    def __init__(self, *, steps: int, lr: float = 2e-3, seed: int = 1) -> None:
        super().__init__(steps=steps, lr=lr, seed=seed)
        self.vae = make_autoencoder()

    def training_step(self, batch: int) -> Tensor:
        """Return the reconstruction error of 64 crops and a trace of KL."""
        generator = self.generator()
        scenes = draw_scenes(32, generator)
        pixels = render(scenes).repeat_interleave(2, dim=0)
        at = scenes.centre[:, :2].reshape(-1, 2)
        at = torch.where(scenes.present[:, :2].reshape(-1, 1), at, SIZE / 2)
        reach = scenes.radius[:, :2].reshape(-1, 1)
        at = at + reach * (2 * torch.rand(at.shape, generator=generator) - 1) - 16
        corners = at.round().clamp(0, 32).long().tolist()
        images = (
            torch.stack(
                [
                    p[:, y : y + 32, x : x + 32]
                    for p, (x, y) in zip(pixels, corners, strict=True)
                ]
            )
            * 2
            - 1
        )
        images = images.to(self.device)
        posterior = self.vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator)
        latents = posterior.mean + posterior.std * noise.to(self.device)
        error, loss = _error(self.vae.decode(latents).sample, images)
        self.log("psnr", _decibel(error))
        return loss + 1e-6 * posterior.kl().mean() / latents[0].numel()


class DecoderTraining(Training):
    """The decoder alone on full frames, since crops fade the colours.

    Half of the latents carry a little noise: a diffusion model's are never exact.
    """

    def __init__(
        self, vae: AutoencoderKL, *, steps: int, lr: float = 1e-3, seed: int = 2
    ) -> None:
        super().__init__(steps=steps, lr=lr, seed=seed)
        self.vae = vae

    def trained(self) -> Iterable[Parameter]:
        """Return the decoder's parameters."""
        return [*self.vae.decoder.parameters(), *self.vae.post_quant_conv.parameters()]

    def training_step(self, batch: int) -> Tensor:
        """Return the reconstruction error of 16 frames."""
        generator = self.generator()
        images = (render(draw_scenes(16, generator)) * 2 - 1).to(self.device)
        with torch.no_grad():
            latents = self.vae.encode(images).latent_dist.mean
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        latents = torch.cat((latents[:8], latents[8:] + 0.05 / SCALING * noise[8:]))
        reconstructions = self.vae.decode(latents).sample
        error = mse_loss(reconstructions[:8], images[:8])
        self.log("psnr", _decibel(error))
        return _error(reconstructions, images)[1]


@torch.no_grad()
def whiten(vae: AutoencoderKL, *, seed: int = 3) -> None:
    """Fold per-channel whitening into `quant_conv` and `post_quant_conv`.

    Afterwards each latent channel has mean 0 and standard deviation 1 / `SCALING`.
    """
    generator = torch.Generator().manual_seed(seed)
    images = render(draw_scenes(256, generator)) * 2 - 1
    means = vae.encode(images).latent_dist.mean
    mean, std = means.mean(dim=(0, 2, 3)), means.std(dim=(0, 2, 3)) * SCALING

    into, out = vae.quant_conv, vae.post_quant_conv
    out.bias += (out.weight[:, :, 0, 0] * mean).sum(dim=1)
    out.weight *= std[None, :, None, None]
    into.bias[:4] = (into.bias[:4] - mean) / std
    into.weight[:4] /= std[:, None, None, None]
    into.bias[4:] -= 2 * std.log()


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKL, *, seed: int = 4) -> float:
    """Return the mean PSNR in dB over 128 full frames that no training drew."""
    images = render(draw_scenes(128, torch.Generator().manual_seed(seed))) * 2 - 1
    copies = vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    error = (copies - images).square().flatten(1).mean(dim=1) / 4
    return (-10 * error.log10()).mean().item()


def train_crops(folder: Path, steps: int, threads: int = 1) -> AutoencoderKL:
    """Train encoder and decoder in `folder` and return them whitened."""
    training = CropTraining(steps=steps)
    fit(training, folder / "vae_crops", threads=threads)
    whiten(training.vae)
    return training.vae


def train_decoder(
    vae: AutoencoderKL, folder: Path, steps: int, threads: int = 1
) -> AutoencoderKL:
    """Train the decoder further in `folder` and return the autoencoder."""
    training = DecoderTraining(vae.requires_grad_(True), steps=steps)
    fit(training, folder / "vae_frames", threads=threads)
    return training.vae.eval()


def edge_loss(copies: Tensor, images: Tensor) -> Tensor:
    """Return the mean absolute error of the gradients of (N, 3, H, W), 0-d.

    It is the larger, the more the copies blur outlines or add blotches.
    """
    down = l1_loss(copies.diff(dim=2), images.diff(dim=2))
    return (down + l1_loss(copies.diff(dim=3), images.diff(dim=3))) / 2


def _error(copies: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared error and the loss, which adds absolute errors."""
    error = mse_loss(copies, images)
    loss = error + 0.05 * l1_loss(copies, images) + 0.05 * edge_loss(copies, images)
    return error, loss


def _decibel(error: Tensor) -> Tensor:
    """Return the PSNR of a mean squared error on [-1, 1]."""
    return -10 * (error.detach() / 4).log10()
