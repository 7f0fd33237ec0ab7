"""Counts what the paper's algorithm and `--config fast` cost on Stable Diffusion 1.5.

    python benchmarks/large_model.py [--updates 50] [--output benchmarks/results]

T = 50, 512 px, guidance 7.5, half precision. Calls, FLOPs and the memory of graphs
follow from the published architecture; no weights are needed, and nothing is run. A
call that is repeated with its gradient counts as 3.4 calls. Guide and judge are not
counted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from functools import partial
from pathlib import Path

import torch
from compositions import composition
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig

from doodl.evaluation.markdown import table
from doodl.guides import Symmetry
from doodl.jobs.timing import CallCost, count_flops
from doodl.pretrained.folders import SHAPES
from doodl.pretrained.outline import outline
from doodl.render_settings import RenderSettings
from doodl.rendering import Renderer
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.gradient import gradient_calls

METHODS = {"paper": "edict paper exact", "fast": "ddim white.07 straight"}
STEPS, GUIDANCE = 50, 7.5
PARTS = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "scheduler": ("diffusers", "DDIMScheduler"),
    "safety_checker": (None, None),
    "feature_extractor": (None, None),
}


def write_configurations(folder: Path) -> None:
    """Write the configurations of Stable Diffusion 1.5, with a tokenizer of ours."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            sample_size=512,
        )
    unet.save_config(folder / "unet")
    vae.save_config(folder / "vae")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    ).save_config(folder / "scheduler")
    text = CLIPTextConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        architectures=["CLIPTextModel"],
    )
    text.save_pretrained(folder / "text_encoder")
    shutil.copytree(SHAPES / "pipeline" / "tokenizer", folder / "tokenizer")
    index = {"_class_name": "StableDiffusionPipeline", **PARTS}
    index["requires_safety_checker"] = False
    (folder / "model_index.json").write_text(json.dumps(index))


def costs(folder: Path, name: str, updates: int) -> list[str]:
    """Return calls, PFLOP and GiB of one picture."""
    settings = composition(name).settings | {"num_steps": STEPS}
    if isinstance(settings["method"], EDICT):
        settings["method"] = EDICT(0.93)
    model = outline(str(folder), torch.float16)
    renderer = Renderer(model, RenderSettings(Symmetry(), **settings))
    chain = gradient_calls(renderer.sampler.adjoint, renderer.sampler.moves())
    rounds, once = updates, chain.forward
    call, decoder = counted(renderer)
    plain = chain.forward + chain.repeated - chain.differentiated
    flops = rounds * (
        plain * call.flops
        + chain.differentiated * call.gradient_flops
        + settings["method"].num_latents * decoder.gradient_flops
    )
    graph = max(call.graph if chain.differentiated else 0, decoder.graph)
    return [
        f"{rounds * chain.equivalents + once:.0f}",
        f"{(flops + once * call.flops) / 1e15:.2f}",
        f"{graph / 2**30:.1f}",
    ]


def counted(renderer: Renderer) -> tuple[CallCost, CallCost]:
    """Return the cost of a guided call and of decoding, for one picture."""
    model, shape = renderer.model, renderer.shape
    latent = torch.empty(1, *shape, device="meta")
    conditioning = model.conditioning([""], [""], shape, GUIDANCE)
    denoiser = GuidedDenoiser(model.network, GUIDANCE, model.dtype, None, model.combine)
    call = partial(denoiser, timestep=500, conditioning=conditioning)
    return count_flops(call, latent), count_flops(model.decode, latent)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--output", type=Path, help="folder of large_model.md")
    known = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_configurations(Path(folder))
        rows = [
            [f"`--config {key}`", *costs(Path(folder), name, known.updates)]
            for key, name in METHODS.items()
        ]
    header = ["", "cost in calls", "PFLOP", "GiB of the largest graph"]
    text = "\n".join(table(header, rows))
    print(text)
    if known.output:
        (known.output / "large_model.md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
