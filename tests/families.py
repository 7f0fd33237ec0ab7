"""Small models of every family's architecture and file layout, with random weights."""

import string

import diffusers
import torch
import transformers

from doodl.shapes.tokenizer import CONTEXT, make_tokenizer

SCALED = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


def build(name):
    """Return a pipeline with images of 32 px."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BUILDERS[name]()


def _clip(width=16, *, projection=False):
    tokenizer = make_tokenizer()
    kind = transformers.CLIPTextModelWithProjection if projection else None
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=32,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return tokenizer, (kind or transformers.CLIPTextModel)(config)


def _t5(width=16):
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0)]
    pieces = ["\u2581", *string.ascii_lowercase, "\u2581a", "\u2581red", "circle"]
    vocabulary = special + [(p, -float(i)) for i, p in enumerate(pieces, 1)]
    tokenizer = transformers.T5Tokenizer(
        vocab=vocabulary, extra_ids=0, model_max_length=32
    )
    config = transformers.T5Config(
        vocab_size=len(vocabulary),
        d_model=width,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
    )
    return tokenizer, transformers.T5EncoderModel(config)


def _vae(channels=4, **config):
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=channels,
        sample_size=32,
        mid_block_add_attention=False,
        **config,
    )


def _unet(width=16, **config):
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=4,
        norm_num_groups=4,
        **config,
    )


def _stable_diffusion(scheduler, kind=diffusers.StableDiffusionPipeline, **unet):
    tokenizer, encoder = _clip()
    return kind(
        vae=_vae(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=_unet(**unet),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sd1():
    # As it ships: a multistep scheduler with the same noise levels.
    return _stable_diffusion(diffusers.PNDMScheduler(skip_prk_steps=True, **_pndm()))


def _pndm():
    return {k: v for k, v in SCALED.items() if k != "clip_sample"}


def _sd2():
    return _stable_diffusion(
        diffusers.DDIMScheduler(**SCALED, prediction_type="v_prediction"),
        use_linear_projection=True,
    )


def _zero_snr():
    settings = {**SCALED, "prediction_type": "v_prediction", "steps_offset": 0}
    return _stable_diffusion(
        diffusers.DDIMScheduler(
            **settings, rescale_betas_zero_snr=True, timestep_spacing="trailing"
        )
    )


def _turbo():
    betas = {k: SCALED[k] for k in ("beta_start", "beta_end", "beta_schedule")}
    return _stable_diffusion(
        diffusers.EulerDiscreteScheduler(**betas, timestep_spacing="trailing")
    )


def _lcm():
    settings = {**SCALED, "set_alpha_to_one": True, "steps_offset": 0}
    return _stable_diffusion(
        diffusers.LCMScheduler(**settings),
        diffusers.LatentConsistencyModelPipeline,
        time_cond_proj_dim=16,
    )


def _xl():
    tokenizer, encoder = _clip()
    tokenizer_2, encoder_2 = _clip(24, projection=True)
    unet = _unet(
        width=16 + 24,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 24,
        use_linear_projection=True,
    )
    betas = {k: SCALED[k] for k in ("beta_start", "beta_end", "beta_schedule")}
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=encoder,
        text_encoder_2=encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(
            **betas, steps_offset=1, timestep_spacing="leading"
        ),
    )


def _sd3():
    tokenizer, encoder = _clip(projection=True)
    tokenizer_2, encoder_2 = _clip(24, projection=True)
    tokenizer_3, encoder_3 = _t5(width=40)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=40,
        pooled_projection_dim=16 + 24,
        pos_embed_max_size=16,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(
            16,
            scaling_factor=1.5,
            shift_factor=0.06,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_encoder_2=encoder_2,
        tokenizer_2=tokenizer_2,
        text_encoder_3=encoder_3,
        tokenizer_3=tokenizer_3,
    )


def _flux(*, guidance=True):
    tokenizer, encoder = _clip()
    tokenizer_2, encoder_2 = _t5(width=32)
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=(2, 2, 4),
        guidance_embeds=guidance,
    )
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True
        ),
        vae=_vae(
            4,
            scaling_factor=0.36,
            shift_factor=0.11,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_encoder_2=encoder_2,
        tokenizer_2=tokenizer_2,
        transformer=transformer,
    )


BUILDERS = {
    "sd1": _sd1,
    "sd2": _sd2,
    "zero_snr": _zero_snr,
    "turbo": _turbo,
    "lcm": _lcm,
    "xl": _xl,
    "sd3": _sd3,
    "flux": _flux,
}
COUPLED = ("sd1", "sd2", "zero_snr", "xl", "sd3", "flux")
"""Families whose chains EDICT couples; the others jump in a few steps."""
JUMPING = ("turbo", "lcm")
