"""Writes a pipeline as one file in the layout that Stable Diffusion was released in."""

import re

from safetensors.torch import save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}


def save(pipeline, path):
    """Save U-Net, VAE and text encoder of a Stable Diffusion 1 pipeline."""
    tensors = {}
    for name, value in pipeline.unet.state_dict().items():
        tensors["model.diffusion_model." + _unet(name)] = value
    levels = len(pipeline.vae.config.block_out_channels)
    for name, value in pipeline.vae.state_dict().items():
        tensors["first_stage_model." + _vae(name, levels)] = value
    for name, value in pipeline.text_encoder.state_dict().items():
        name = name if name.startswith("text_model.") else f"text_model.{name}"
        tensors["cond_stage_model.transformer." + name] = value
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)


def _unet(name):
    """One layer a level: each is a resnet, perhaps attention, and a resampling."""
    for ours, theirs in UNET.items():
        if name.startswith(ours + "."):
            name = theirs + name[len(ours) :]
    name = re.sub(
        r"^down_blocks\.(\d)\.(resnets|attentions)\.0",
        lambda m: f"input_blocks.{1 + 2 * int(m[1])}.{int(m[2] == 'attentions')}",
        name,
    )
    name = re.sub(
        r"^down_blocks\.(\d)\.downsamplers\.0\.conv",
        lambda m: f"input_blocks.{2 + 2 * int(m[1])}.0.op",
        name,
    )
    name = re.sub(
        r"^up_blocks\.(\d)\.(resnets|attentions)\.(\d)",
        lambda m: (
            f"output_blocks.{2 * int(m[1]) + int(m[3])}.{int(m[2] == 'attentions')}"
        ),
        name,
    )
    # Only the first level of two is upsampled, and it has attention.
    name = name.replace("up_blocks.0.upsamplers.0.conv", "output_blocks.1.2.conv")
    head, _, tail = name.rpartition(".")
    part = head.rpartition(".")[2]
    if "transformer_blocks" in head:
        return name
    return f"{head.removesuffix(part)}{RESNET.get(part, part)}.{tail}"


def _vae(name, levels):
    name = name.replace("conv_shortcut", "nin_shortcut")
    name = name.replace("conv_norm_out", "norm_out")
    name = re.sub(
        r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name
    )
    name = re.sub(
        r"down_blocks\.(\d)\.resnets\.(\d)",
        lambda m: f"down.{m[1]}.block.{m[2]}",
        name,
    )
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(
        r"up_blocks\.(\d)\.resnets\.(\d)",
        lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}",
        name,
    )
    return re.sub(
        r"up_blocks\.(\d)\.upsamplers\.0",
        lambda m: f"up.{levels - 1 - int(m[1])}.upsample",
        name,
    )
