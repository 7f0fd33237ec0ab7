"""Trains every network of the shapes world and writes the folder that ships.

Each part resumes from its last checkpoint; the numbers of steps are what two CPU cores
do in a few hours, and more of them on a GPU makes a better world.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from doodl.pretrained import SHAPES
from doodl.shapes import autoencoder, classifier, contrastive, diffusion
from doodl.shapes.training import fit

Part = Literal["vae", "guide", "judge", "attributes", "diffusion"]
PARTS: tuple[Part, ...] = ("vae", "guide", "judge", "attributes", "diffusion")


def train(
    folder: Path = Path("training"),
    parts: tuple[Part, ...] = PARTS,
    threads: int = 1,
    scale: float = 1.0,
) -> None:
    """Train parts of the world in `folder`; `weights` inside it is what ships.

    Args:
        folder: for checkpoints, logs of the losses and the finished weights.
        parts: which networks; `diffusion` needs `vae`.
        threads: of this process, on a CPU. One process a core is faster than two
            threads: train the CLIPs beside the diffusion model.
        scale: multiplies the number of steps of every part.
    """
    torch.set_num_threads(threads)
    makers = {
        "vae": _vae,
        "guide": _guide,
        "judge": _judge,
        "attributes": _attributes,
        "diffusion": _diffusion,
    }
    for part in parts:
        makers[part](folder, threads, scale)


def install(folder: Path = Path("training")) -> None:
    """Copy the finished weights of `folder` into the package."""
    shutil.copytree(folder / "weights", SHAPES, dirs_exist_ok=True)


def _vae(folder: Path, threads: int, scale: float) -> None:
    vae = autoencoder.train_autoencoder(
        folder,
        crop_steps=round(1100 * scale),
        frame_steps=round(2500 * scale),
        threads=threads,
    )
    vae.save_pretrained(folder / "vae")


def _guide(folder: Path, threads: int, scale: float) -> None:
    training = contrastive.GuideTraining(steps=round(2400 * scale))
    clip = contrastive.train_clip(training, folder / "clip_guide")
    contrastive.save_clip(clip, training.config, folder / "weights" / "guide")


def _judge(folder: Path, threads: int, scale: float) -> None:
    training = contrastive.JudgeTraining(steps=round(2400 * scale))
    clip = contrastive.train_clip(training, folder / "clip_judge")
    contrastive.save_clip(clip, training.config, folder / "weights" / "judge")


def _attributes(folder: Path, threads: int, scale: float) -> None:
    network = classifier.train_judge(folder / "attributes", steps=round(3000 * scale))
    config = classifier.judge_config()
    classifier.save_timm(network, config, folder / "weights" / "attributes")


def _diffusion(folder: Path, threads: int, scale: float) -> None:
    encoder = diffusion.train_text_encoder(folder / "text", steps=round(800 * scale))
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    cache = folder / "latents.safetensors"
    if not cache.exists():
        latents, tokens = diffusion.encode_scenes(vae, 40_000)
        save_file({"latents": latents, "tokens": tokens}, cache)
    data = load_file(cache)
    training = diffusion.DiffusionTraining(
        encoder, data["latents"], data["tokens"], steps=round(5000 * scale)
    )
    fit(training, folder / "unet", threads=threads)
    unet, text_encoder = training.average
    pipeline = diffusion.make_pipeline(vae, unet.eval(), text_encoder.eval())
    pipeline.to(torch_dtype=torch.float16)
    pipeline.save_pretrained(folder / "weights" / "pipeline")
