"""Trains the shapes world's U-Net and text encoder, and assembles the pipeline."""

from __future__ import annotations

from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from doodl.shapes.tokenizer import CONTEXT, carry_embedding, make_tokenizer

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


def continue_from(pipeline: StableDiffusionPipeline) -> tuple[nn.Module, nn.Module]:
    """Return U-Net and text encoder of a pipeline, with the current vocabulary."""
    encoder, tokenizer = make_text_encoder(), make_tokenizer()
    state = pipeline.text_encoder.float().state_dict()
    name = next(key for key in state if key.endswith("token_embedding.weight"))
    state[name] = carry_embedding(state[name], pipeline.tokenizer, tokenizer)
    encoder.load_state_dict(state)
    return pipeline.unet.float(), encoder


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
