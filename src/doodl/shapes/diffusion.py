"""Trains the shapes world's U-Net and text encoder, and assembles the pipeline."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import CLIPTextConfig, CLIPTextModel

from doodl.shapes.attributes import NUM_LOGITS, said, split_logits
from doodl.shapes.autoencoder import SCALING
from doodl.shapes.renderer import render
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.tokenizer import CONTEXT, carry_embedding, make_tokenizer, tokenize
from doodl.shapes.training import Training, fit

WIDTH = 96


def make_scheduler() -> DDIMScheduler:
    """Return Stable Diffusion's schedule."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        steps_offset=1,
        set_alpha_to_one=False,
        clip_sample=False,
    )


def make_unet() -> UNet2DConditionModel:
    """Return the untrained U-Net: 4 x 16 x 16 latents, attention to text at 8 x 8."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(48, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def make_text_encoder() -> CLIPTextModel:
    """Return the untrained text encoder, two layers of 96."""
    tokenizer = make_tokenizer()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


class TextTraining(Training):
    """A warm-up of the text encoder: its last token names what the caption says."""

    def __init__(self, *, steps: int, lr: float = 2e-3, seed: int = 41) -> None:
        super().__init__(steps=steps, lr=lr, seed=seed)
        self.encoder = make_text_encoder()
        self.tokenizer = make_tokenizer()
        self.heads = nn.Linear(WIDTH, NUM_LOGITS)

    def training_step(self, batch: int) -> Tensor:
        """Return the summed cross-entropies of 64 captions."""
        scenes = draw_scenes(64, self.generator())
        tokens = tokenize(self.tokenizer, scenes.captions()).to(self.device)
        logits = split_logits(self.heads(self.encoder(tokens).pooler_output))
        labels = {k: v.to(self.device) for k, v in said(scenes).items()}
        losses = [cross_entropy(logits[k], labels[k]) for k in logits]
        loss = torch.stack([x for x in losses if x.isfinite()]).sum()
        self.log("loss", loss)
        return loss


class DiffusionTraining(Training):
    """Noise prediction with 10% caption dropout and an average of the weights.

    Args:
        encoder: the warmed-up text encoder, trained along.
        latents: (N, 4, 16, 16) scaled latents of the pictures.
        tokens: (N, 20) their captions.
        batch_size: pictures a step.
        unet: already trained, to go on from.
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
    ) -> None:
        super().__init__(steps=steps, lr=lr, seed=seed)
        self.unet, self.encoder = unet or make_unet(), encoder
        self.average = copy.deepcopy(nn.ModuleList((self.unet, self.encoder)))
        self.average.requires_grad_(False)
        self.batch_size = batch_size
        self.latents, self.tokens = latents, tokens
        self.empty = tokenize(make_tokenizer(), [""])
        self.alphas = make_scheduler().alphas_cumprod

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters of U-Net and text encoder, not of their average."""
        return [*self.unet.parameters(), *self.encoder.parameters()]

    def training_step(self, batch: int) -> Tensor:
        """Return the error of the predicted noise, weighted by min-SNR-5."""
        generator, n = self.generator(), self.batch_size
        index = torch.randint(len(self.latents), (n,), generator=generator)
        clean, tokens = self.latents[index], self.tokens[index]
        dropped = torch.rand(n, 1, generator=generator) < 0.1
        tokens = torch.where(dropped, self.empty, tokens)
        noise = torch.randn(clean.shape, generator=generator)
        spread = (torch.arange(n) + torch.rand(n, generator=generator)) / n
        timesteps = (spread * len(self.alphas)).long()
        signal = self.alphas[timesteps][:, None, None, None]
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise

        states = self.encoder(tokens.to(self.device)).last_hidden_state
        predicted = self.unet(
            noisy.to(self.device), timesteps.to(self.device), states
        ).sample
        error = (predicted - noise.to(self.device)).square().flatten(1).mean(dim=1)
        ratio = (signal / (1 - signal)).flatten().to(self.device)
        self.log("error", error.mean())
        return (error * (ratio.clamp(max=5) / ratio)).mean()

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: int, index: int) -> None:
        """Move the average toward the weights, faster in the beginning."""
        decay = min(0.999, 1 - 1 / (1 + self.global_step / 10))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.trained(), strict=True)
            for mean, weight in pairs:
                mean.lerp_(weight, 1 - decay)


def continue_from(pipeline: StableDiffusionPipeline) -> tuple[nn.Module, nn.Module]:
    """Return U-Net and text encoder of a pipeline, with the current vocabulary."""
    encoder, tokenizer = make_text_encoder(), make_tokenizer()
    state = pipeline.text_encoder.float().state_dict()
    name = next(key for key in state if key.endswith("token_embedding.weight"))
    state[name] = carry_embedding(state[name], pipeline.tokenizer, tokenizer)
    encoder.load_state_dict(state)
    return pipeline.unet.float(), encoder


def train_text_encoder(folder: Path, steps: int) -> CLIPTextModel:
    """Warm up the text encoder in `folder`."""
    training = TextTraining(steps=steps)
    fit(training, folder)
    return training.encoder


@torch.no_grad()
def encode_scenes(
    vae: AutoencoderKL, count: int, *, seed: int = 61
) -> tuple[Tensor, Tensor]:
    """Return scaled latents (N, 4, 16, 16) and captions' tokens (N, 20)."""
    generator, tokenizer = torch.Generator().manual_seed(seed), make_tokenizer()
    latents, tokens = [], []
    for _ in range(count // 64):
        scenes = draw_scenes(64, generator)
        images = (render(scenes) * 2 - 1).to(vae.device)
        latents.append(vae.encode(images).latent_dist.mean.cpu() * SCALING)
        tokens.append(tokenize(tokenizer, scenes.captions()))
    return torch.cat(latents), torch.cat(tokens)


def make_pipeline(
    vae: AutoencoderKL, unet: UNet2DConditionModel, encoder: CLIPTextModel
) -> StableDiffusionPipeline:
    """Return the parts as a pipeline that saves and loads like any other."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=make_tokenizer(),
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
