"""Trains every network of the shapes world and writes the folder that ships.

Each part resumes from its last checkpoint; the numbers of steps are what two CPU cores
do in a few hours, and more of them on a GPU makes a better world.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from doodl.pretrained import SHAPES, load_timm
from doodl.shapes import autoencoder, classifier, contrastive, diffusion
from doodl.shapes.training import fit

Part = Literal["vae", "guide", "judge", "attributes", "diffusion"]
PARTS: tuple[Part, ...] = ("vae", "guide", "judge", "attributes", "diffusion")


@dataclass(frozen=True)
class Job:
    """How to train.

    Args:
        folder: for checkpoints, logs of the losses and the finished weights.
        threads: of this process, on a CPU. One process a core is faster than two
            threads: train the CLIPs beside the diffusion model.
        scale: multiplies the number of steps of every part.
        improve: go on from the weights that ship instead of from nothing. The VAE's
            encoder then stays as it is, so that its latents do.
    """

    folder: Path
    threads: int = 1
    scale: float = 1.0
    improve: bool = False

    def steps(self, count: int) -> int:
        """Return the number of steps of a part."""
        return max(1, round(count * self.scale))


def train(
    folder: Path = Path("training"),
    parts: tuple[Part, ...] = PARTS,
    threads: int = 1,
    scale: float = 1.0,
    improve: bool = False,
) -> None:
    """Train parts of the world in `folder`; `weights` inside it is what ships.

    Args:
        folder: for checkpoints, logs of the losses and the finished weights.
        parts: which networks; `diffusion` needs `vae`.
        threads: of this process, on a CPU.
        scale: multiplies the number of steps of every part.
        improve: go on from the weights that ship.
    """
    torch.set_num_threads(threads)
    job = Job(folder, threads, scale, improve)
    makers = {
        "vae": _vae,
        "guide": _guide,
        "judge": _judge,
        "attributes": _attributes,
        "diffusion": _diffusion,
    }
    for part in parts:
        makers[part](job)


def install(folder: Path = Path("training")) -> None:
    """Copy the finished weights of `folder` into the package."""
    shutil.copytree(folder / "weights", SHAPES, dirs_exist_ok=True)


def _vae(job: Job) -> None:
    if job.improve:
        vae = AutoencoderKL.from_pretrained(SHAPES / "pipeline" / "vae")
    else:
        vae = autoencoder.train_crops(job.folder, job.steps(1100), job.threads)
    vae = autoencoder.train_decoder(vae, job.folder, job.steps(2500), job.threads)
    vae.save_pretrained(job.folder / "vae")


def _guide(job: Job) -> None:
    _clip(job, "guide", contrastive.GuideTraining(steps=job.steps(2400)))


def _judge(job: Job) -> None:
    _clip(job, "judge", contrastive.JudgeTraining(steps=job.steps(2400)))


def _clip(
    job: Job,
    name: str,
    training: contrastive.GuideTraining | contrastive.JudgeTraining,
) -> None:
    if job.improve:
        contrastive.continue_from(training, f"shapes/{name}")
    clip = contrastive.train_clip(training, job.folder / f"clip_{name}")
    contrastive.save_clip(clip, training.config, job.folder / "weights" / name)


def _attributes(job: Job) -> None:
    training = classifier.AttributeTraining(steps=job.steps(3200))
    if job.improve:
        shipped = load_timm("shapes/attributes")
        training.network.load_state_dict(shipped.state_dict())
    network = classifier.train_judge(training, job.folder / "attributes")
    config = classifier.judge_config()
    classifier.save_timm(network, config, job.folder / "weights" / "attributes")


def _diffusion(job: Job) -> None:
    vae = AutoencoderKL.from_pretrained(job.folder / "vae")
    cache = job.folder / "latents.safetensors"
    if not cache.exists():
        count = min(40_000, 64 * job.steps(5000))
        latents, tokens = diffusion.encode_scenes(vae, count)
        save_file({"latents": latents, "tokens": tokens}, cache)
    data, unet = load_file(cache), None
    if job.improve:
        shipped = StableDiffusionPipeline.from_pretrained(SHAPES / "pipeline")
        unet, encoder = diffusion.continue_from(shipped)
    else:
        encoder = diffusion.train_text_encoder(job.folder / "text", job.steps(800))
    training = diffusion.DiffusionTraining(
        encoder, data["latents"], data["tokens"], steps=job.steps(10_000), unet=unet
    )
    fit(training, job.folder / "unet", threads=job.threads)
    unet, encoder = training.average
    for part in (vae, unet, encoder):
        part.eval().half()
    pipeline = diffusion.make_pipeline(vae, unet, encoder)
    pipeline.save_pretrained(job.folder / "weights" / "pipeline")
