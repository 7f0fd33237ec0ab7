"""Small models of every family's architecture and file layout, with random weights."""

import string
from functools import partial

import diffusers
import torch
import transformers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from doodl.shapes.tokenizer import CONTEXT, make_tokenizer
from schedules import SD


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
    return {k: v for k, v in SD.items() if k != "clip_sample"}


def _sd2():
    return _stable_diffusion(
        diffusers.DDIMScheduler(**SD, prediction_type="v_prediction"),
        use_linear_projection=True,
    )


def _zero_snr():
    settings = {**SD, "prediction_type": "v_prediction", "steps_offset": 0}
    return _stable_diffusion(
        diffusers.DDIMScheduler(
            **settings, rescale_betas_zero_snr=True, timestep_spacing="trailing"
        )
    )


def _turbo():
    betas = {k: SD[k] for k in ("beta_start", "beta_end", "beta_schedule")}
    return _stable_diffusion(
        diffusers.EulerDiscreteScheduler(**betas, timestep_spacing="trailing")
    )


def _lcm():
    settings = {**SD, "set_alpha_to_one": True, "steps_offset": 0}
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
    betas = {k: SD[k] for k in ("beta_start", "beta_end", "beta_schedule")}
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


def _bytes(special=()):
    """A Qwen tokenizer of bytes, with the chat template in its shortest form."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special]
    symbols = [*bytes_to_unicode().values(), *special]
    tokenizer = transformers.Qwen2Tokenizer(
        vocab={symbol: i for i, symbol in enumerate(symbols)},
        merges=[],
        extra_special_tokens=special[1:],
    )
    tokenizer.padding_side = "right"
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
        "<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


LANGUAGE = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 4096,
}
"""Sizes of a small language model."""


def _qwen_3(layers):
    tokenizer = _bytes()
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer), num_hidden_layers=layers, **LANGUAGE
    )
    return tokenizer, transformers.Qwen3ForCausalLM(config)


def _z_image(*, shift=6.0):
    tokenizer, encoder = _qwen_3(2)
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4,
        dim=16,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=8,
        axes_dims=[4, 2, 2],
        axes_lens=[600, 32, 32],
    )
    for token in (transformer.x_pad_token, transformer.cap_pad_token):
        torch.nn.init.normal_(token)
    return diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=shift),
        vae=_vae(
            4,
            scaling_factor=0.36,
            shift_factor=0.11,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    )


def _qwen_image():
    tokenizer = _bytes(["<|vision_start|>"])
    sizes = {k: v for k, v in LANGUAGE.items() if k != "head_dim"}
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            **sizes,
            "vocab_size": len(tokenizer),
            "num_hidden_layers": 1,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [2, 1, 1],
            },
        },
        vision_config={
            "depth": 1,
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_heads": 2,
            "out_hidden_size": 8,
            "fullatt_block_indexes": [0],
        },
    )
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=8,
        axes_dims_rope=(4, 2, 2),
    )
    return diffusers.QwenImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True,
            base_shift=0.5,
            max_shift=0.9,
            max_image_seq_len=8192,
            shift_terminal=0.02,
        ),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=4,
            z_dim=4,
            dim_mult=[1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True],
            latents_mean=[-0.7, 0.1, 1.5, -0.2],
            latents_std=[2.8, 1.4, 0.6, 1.2],
        ),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def _flux_2_parts(*, text_width, guidance):
    vae = diffusers.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=32,
        mid_block_add_attention=False,
    )
    vae.bn.running_mean.normal_()  # the statistics of some latents
    vae.bn.running_var.uniform_(0.5, 4.0)
    return {
        "vae": vae,
        "transformer": diffusers.Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=text_width,
            timestep_guidance_channels=16,
            axes_dims_rope=(2, 2, 2, 2),
            # The first version with this transformer always reads the scale.
            **({} if guidance else {"guidance_embeds": False}),
        ),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True
        ),
    }


def _klein(*, distilled=False):
    tokenizer, encoder = _qwen_3(28)  # it reads layers 9, 18 and 27
    return diffusers.Flux2KleinPipeline(
        **_flux_2_parts(text_width=3 * 8, guidance=False),
        text_encoder=encoder,
        tokenizer=tokenizer,
        is_distilled=distilled,
    )


def _flux_2():
    tokenizer = _bytes(["[IMG]", "[IMG_BREAK]", "[IMG_END]"])
    template = "{% for m in messages %}{% for part in m['content'] %}{{ part['text'] }}"
    template += "\n{% endfor %}{% endfor %}"
    processor = transformers.PixtralProcessor(
        transformers.PixtralImageProcessor(), tokenizer, chat_template=template
    )
    config = transformers.Mistral3Config(
        text_config={  # it reads layers 10, 20 and 30
            **LANGUAGE,
            "model_type": "mistral",
            "vocab_size": len(tokenizer),
            "num_hidden_layers": 31,
        },
        vision_config={
            "model_type": "pixtral",
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "head_dim": 4,
        },
        image_token_index=len(tokenizer) - 3,
    )
    return diffusers.Flux2Pipeline(
        **_flux_2_parts(text_width=3 * 8, guidance=True),
        text_encoder=transformers.Mistral3ForConditionalGeneration(config),
        tokenizer=processor,
    )


def _sana():
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\u2581"]
    symbols = special + list(string.printable)
    tokenizer = transformers.GemmaTokenizer(
        vocab={symbol: i for i, symbol in enumerate(dict.fromkeys(symbols))},
        merges=[],
        add_bos_token=True,
    )
    config = transformers.Gemma2Config(
        vocab_size=len(tokenizer),
        num_hidden_layers=1,
        attn_logit_softcapping=None,
        **LANGUAGE,
    )
    transformer = diffusers.SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=8,
        sample_size=8,
        timestep_scale=0.5,
    )
    vae = diffusers.AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        upsample_block_type="interpolate",
        downsample_block_type="conv",
        scaling_factor=0.41,
    )
    return diffusers.SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=transformers.Gemma2Model(config),
        vae=vae,
        transformer=transformer,
        scheduler=diffusers.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
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
    "flux2": _flux_2,
    "klein": _klein,
    "klein_distilled": partial(_klein, distilled=True),
    "qwen": _qwen_image,
    "z_image": _z_image,
    "sana": _sana,
}
NEEDS = {
    "flux2": "Flux2Pipeline",
    "klein": "Flux2KleinPipeline",
    "klein_distilled": "Flux2KleinPipeline",
    "qwen": "QwenImagePipeline",
    "z_image": "ZImagePipeline",
    "sana": "SanaPipeline",
}
"""Pipelines that older versions of diffusers lack."""
JUMPING = ("turbo", "lcm", "klein_distilled")
"""Families that jump in a few steps; EDICT couples the chains of the others."""
COUPLED = tuple(name for name in BUILDERS if name not in JUMPING)
GUIDED = tuple(n for n in COUPLED if n not in ("flux", "flux2"))
"""Families with a guided and an unguided prediction."""
