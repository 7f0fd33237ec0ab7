"""Trains the shapes world's text encoder and U-Net on latents of scenes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from transformers import CLIPTextModel

from doodl.shapes.attributes import NUM_LOGITS, said, split_logits
from doodl.shapes.autoencoder import SCALING
from doodl.shapes.diffusion import WIDTH, make_scheduler, make_text_encoder, make_unet
from doodl.shapes.renderer import render
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.tokenizer import make_tokenizer, tokenize
from doodl.shapes.training import Training, draw_number, fit
from doodl.shapes.twins import swap_order

DECAY = 0.3
"""Share of the steps over which the learning rate falls to zero."""


class TextTraining(Training):
    """Text encoding: the last token names what is where in the picture.

    Left, right, above and below are learned here, from text alone: "a red ring below a
    blue star" has to say that the star is on top. Noise prediction hardly teaches it,
    and makes an encoder that is trained along forget it.
    """

    def __init__(
        self,
        *,
        steps: int,
        lr: float = 1e-3,
        seed: int = 41,
        encoder: CLIPTextModel | None = None,
    ) -> None:
        super().__init__(steps=steps, lr=lr, seed=seed)
        self.encoder = encoder or make_text_encoder()
        self.tokenizer = make_tokenizer()
        self.heads = nn.Linear(WIDTH, NUM_LOGITS)

    def training_step(self, batch: int) -> Tensor:
        """Return the summed cross-entropies of 128 captions."""
        scenes = draw_scenes(128, self.generator(), pairs=0.8)
        tokens = tokenize(self.tokenizer, scenes.captions()).to(self.device)
        logits = split_logits(self.heads(self.encoder(tokens).pooler_output))
        labels = {k: v.to(self.device) for k, v in said(scenes).items()}
        losses = [cross_entropy(logits[k], labels[k]) for k in logits]
        loss = torch.stack([x for x in losses if x.isfinite()]).sum()
        self.log("loss", loss)
        return loss


class DiffusionTraining(Training):
    """Noise prediction with caption dropout and an average of the weights.

    Beside the noise, linear heads on 8 x 8 features predict where in the picture each
    feature is. A convolutional network knows left from right only by its padding, and
    noise alone does not teach it: without these heads it draws the objects of "a above
    b" one above the other, in either order.

    Args:
        encoder: the trained text encoder, which stays as it is.
        latents: (N, 4, 16, 16) scaled latents of the pictures.
        tokens: (N, K, 20) K captions of each picture, of which a step takes one.
        steps: optimiser steps.
        lr: peak learning rate.
        seed: of the batches.
        batch_size: pictures a step.
        unet: already trained, to go on from.
        layout: share of the batch from the timesteps that decide the layout.
    """

    def __init__(
        self,
        encoder: CLIPTextModel,
        latents: Tensor,
        tokens: Tensor,
        *,
        steps: int,
        lr: float = 1e-3,
        seed: int = 51,
        batch_size: int = 32,
        unet: UNet2DConditionModel | None = None,
        layout: float = 0.15,
    ) -> None:
        super().__init__(steps=steps, lr=lr, seed=seed)
        self.unet, self.layout = unet or make_unet(), layout
        self.encoder = encoder.requires_grad_(False).eval()
        self.average = copy.deepcopy(self.unet).requires_grad_(False)
        ends = self.unet.down_blocks[1], self.unet.mid_block, self.unet.up_blocks[0]
        blocks = [end.resnets[0] for end in ends]
        self.heads = nn.ModuleList(nn.Conv2d(b.out_channels, 2, 1) for b in blocks)
        self.features: list[Tensor] = []
        for block in blocks:
            block.register_forward_hook(self._keep)
        self.batch_size = batch_size
        self.latents, self.tokens = latents, tokens
        self.empty = tokenize(make_tokenizer(), [""])
        self.alphas = make_scheduler().alphas_cumprod

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters of U-Net and heads, not of the U-Net's average."""
        return [*self.unet.parameters(), *self.heads.parameters()]

    def _keep(self, block: nn.Module, inputs: Any, output: Tensor) -> None:
        self.features.append(output)

    def misplaced(self) -> Tensor:
        """Return the error of the positions that the heads read from the features."""
        errors = [
            mse_loss(head(found).float(), positions(found))
            for head, found in zip(self.heads, self.features, strict=True)
        ]
        return torch.stack(errors).sum()

    def rate(self, step: int) -> float:
        """Return the share of the peak rate: constant, then linearly to zero.

        The constant part lets a training be prolonged when it is resumed.
        """
        left = (self.steps - step) / (DECAY * self.steps)
        return min(step / 100, 1.0, max(left, 0.0) + 1e-3)

    def training_step(self, batch: int) -> Tensor:
        """Return the weighted error of the predicted noise."""
        generator, n = self.generator(), self.batch_size
        index = torch.randint(len(self.latents), (n,), generator=generator)
        which = torch.randint(self.tokens.shape[1], (n,), generator=generator)
        clean, tokens = self.latents[index], self.tokens[index, which]
        spread = (torch.arange(n) + torch.rand(n, generator=generator)) / n
        timesteps = noisy_timesteps(spread, len(self.alphas), self.layout)
        wrong = torch.rand(n, generator=generator) < mislead(timesteps)
        tokens = torch.where(wrong[:, None], tokens.roll(n // 2, 0), tokens)
        dropped = torch.rand(n, 1, generator=generator) < 0.1
        tokens = torch.where(dropped, self.empty, tokens)
        noise = torch.randn(clean.shape, generator=generator)
        signal = self.alphas[timesteps][:, None, None, None]
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise

        states = self.encoder(tokens.to(self.device)).last_hidden_state
        self.features.clear()
        predicted = self.unet(
            noisy.to(self.device), timesteps.to(self.device), states
        ).sample
        error = (predicted.float() - noise.to(self.device)).square().flatten(1).mean(1)
        weights = loss_weights((signal / (1 - signal)).flatten())
        position = self.misplaced()
        self.log_dict({"error": error.mean(), "position": position})
        return (error * weights.to(self.device)).mean() + position / 2

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: int, index: int) -> None:
        """Move the average toward the weights, faster in the beginning."""
        decay = min(0.998, 1 - 1 / (1 + self.global_step / 10))
        with torch.no_grad():
            weights = self.unet.parameters()
            for mean, weight in zip(self.average.parameters(), weights, strict=True):
                mean.lerp_(weight, 1 - decay)


def positions(features: Tensor) -> Tensor:
    """Return x and y from -1 to 1 of every place of features (N, C, h, w).

    Returns:
        (N, 2, h, w).
    """
    height, width = features.shape[2:]
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    return torch.stack((x, y)).expand(len(features), -1, -1, -1).to(features.device)


def noisy_timesteps(spread: Tensor, count: int, layout: float) -> Tensor:
    """Return timesteps (N,); a third of those outside the layout in the noisiest fifth.

    Args:
        spread: (N,) uniform in [0, 1), or 1 by rounding.
        count: timesteps of the schedule.
        layout: share of timesteps in the noisiest 7%.
    """
    first = 1 - 0.07 * (1 - spread / max(layout, 1e-9))
    rest = (spread - layout).clamp(min=0) / (1 - layout)
    share = torch.where(spread < layout, first, 1 - (1 - rest) ** 1.5)
    return (count * share).long().clamp_max(count - 1)


def loss_weights(ratio: Tensor) -> Tensor:
    """Return the weights (N,) of noise errors at signal-to-noise ratios (N,).

    Ratios above 5 count less, though more than by min-SNR-5, whose small weights left
    outlines frayed. Small ratios count as in v-prediction, 1 + 1 / ratio up to 100:
    there the layout is decided, and an error of it is a small error of the noise.
    """
    low_noise = (5 / ratio).clamp(max=1) ** 0.7
    high_noise = (1 + 1 / ratio).clamp(max=100)
    return low_noise * high_noise


def mislead(timesteps: Tensor) -> Tensor:
    """Return how likely a training caption is another picture's, (N,).

    Below timestep 200 it always is, above 300 never. Where the latent shows all that
    the caption says, a network that ignores the caption is not made rougher by strong
    guidance: a guidance interval is trained into it. With 400 and 550 in their place
    the pair's gap was smaller, but kinds and colours were wrong three times as often.

    Args:
        timesteps: (N,) from 0 to 999.
    """
    return ((300 - timesteps) / 100).clamp(0, 1)


def train_text_encoder(
    folder: Path, steps: int, encoder: CLIPTextModel | None = None
) -> CLIPTextModel:
    """Train the text encoder in `folder`, from nothing or from one that there is."""
    training = TextTraining(steps=steps, encoder=encoder)
    fit(training, folder)
    return training.encoder


@torch.no_grad()
def encode_scenes(
    vae: AutoencoderKL, count: int, *, seed: int = 71
) -> tuple[Tensor, Tensor]:
    """Return scaled latents (N, 4, 16, 16) and the tokens (N, 2, 20) of two captions.

    The second caption names the objects in the other order, and may say more or less.
    """
    number = draw_number(seed, 0, 0)
    generator, tokenizer = torch.Generator().manual_seed(number), make_tokenizer()
    latents, tokens = [], []
    for _ in range(count // 64):
        scenes = draw_scenes(64, generator, pairs=0.8)
        images = (render(scenes) * 2 - 1).to(vae.device)
        latents.append(vae.encode(images).latent_dist.mean.cpu() * SCALING)
        others = swap_order(scenes, generator)
        both = [tokenize(tokenizer, s.captions()) for s in (scenes, others)]
        tokens.append(torch.stack(both, dim=1))
    return torch.cat(latents), torch.cat(tokens)
