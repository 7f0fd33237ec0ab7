"""Trains every network of the shapes world and writes the folder that ships.

Each part resumes from its last checkpoint. The numbers of steps, 800 to 10 000, are
what two CPU cores do in a few hours, not where the losses end: `scale` them up on a
GPU for a better world.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from doodl.pretrained import SHAPES, load_clip, load_timm
from doodl.shapes import (
    aesthetic,
    autoencoder,
    classifier,
    contrastive,
    diffusion,
    fine,
)
from doodl.shapes.diffusion_training import (
    DiffusionTraining,
    encode_scenes,
    train_text_encoder,
)
from doodl.shapes.towers import CLIPS, save_clip
from doodl.shapes.training import fit

Part = Literal[
    "vae",
    "guide",
    "guide_b",
    "guide_c",
    "judge",
    "referee",
    "attributes",
    "fine",
    "fine_judge",
    "aesthetic",
    "diffusion",
]
Precision = Literal["32-true", "bf16-mixed"]
PARTS: tuple[Part, ...] = get_args(Part)
CLIP_STEPS = {
    "guide": 2400,
    "guide_b": 1600,
    "guide_c": 1600,
    "judge": 6000,
    "referee": 10000,
}

DIFFUSION = (("layout", 2500, 8e-4, 0.7), ("unet", 8500, 5e-4, 0.15))
"""Folder, steps, learning rate and share of layout timesteps of the U-Net's trainings.

The first one teaches where objects belong, which needs many looks at high noise and
spoils the rest of the chain; the second one repairs that.
"""


@dataclass(frozen=True)
class Job:
    """How to train.

    Args:
        folder: for checkpoints, logs of the losses and the finished weights.
        threads: of this process, on a CPU. One process a core is faster than two
            threads: train the CLIPs beside the diffusion model.
        scale: multiplies the number of steps of every part.
        improve: go on from the weights that ship, where there are any, instead of from
            nothing. The VAE's encoder then stays as it is, so that its latents do.
        precision: of the U-Net's training; "bf16-mixed" takes two thirds of the time
            on a CPU with bfloat16 instructions.
    """

    folder: Path
    threads: int = 1
    scale: float = 1.0
    improve: bool = False
    precision: Precision = "32-true"

    def steps(self, count: int) -> int:
        """Return the number of steps of a part."""
        return max(1, round(count * self.scale))

    def goes_on(self, network: str) -> bool:
        """Return whether a network's training starts from what ships of it."""
        return self.improve and (SHAPES / network).is_dir()


def train(
    folder: Path = Path("training"),
    parts: tuple[Part, ...] = PARTS,
    threads: int = 1,
    scale: float = 1.0,
    improve: bool = False,
    precision: Precision = "32-true",
) -> None:
    """Train parts of the world in `folder`; `weights` inside it is what ships.

    Args:
        folder: for checkpoints, logs of the losses and the finished weights.
        parts: which networks; `diffusion` needs `vae`, and `aesthetic` sees through
            the guide of `folder`, or else through the one that ships.
        threads: of this process, on a CPU.
        scale: multiplies the number of steps of every part.
        improve: go on from the weights that ship, where there are any.
        precision: of the U-Net's training, as Lightning's `Trainer` takes it.
    """
    torch.set_num_threads(threads)
    job = Job(folder, threads, scale, improve, precision)
    makers: dict[str, Callable[[Job], None]] = {
        "vae": _vae,
        **{name: partial(_clip, name=name) for name in CLIPS},
        "attributes": _attributes,
        **{name: partial(_fine, name=name) for name in fine.CLASSIFIERS},
        "aesthetic": _aesthetic,
        "diffusion": _diffusion,
    }
    for part in parts:
        makers[part](job)


def install(folder: Path = Path("training")) -> None:
    """Copy the finished weights of `folder` into the package."""
    shutil.copytree(folder / "weights", SHAPES, dirs_exist_ok=True)
    for path in SHAPES.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes files for the owner alone
    for path in SHAPES.rglob("config.json"):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None):  # where it lay when it was trained
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _vae(job: Job) -> None:
    if job.goes_on("pipeline"):
        vae = AutoencoderKL.from_pretrained(SHAPES / "pipeline" / "vae")
    else:
        vae = autoencoder.train_crops(job.folder, job.steps(1100), job.threads)
    vae = autoencoder.train_decoder(vae, job.folder, job.steps(2500), job.threads)
    vae.save_pretrained(job.folder / "vae")


def _clip(job: Job, name: str) -> None:
    steps = job.steps(CLIP_STEPS[name])
    training = contrastive.ContrastiveTraining(name, steps=steps)
    if job.goes_on(name):
        contrastive.continue_from(training, f"shapes/{name}")
    clip = contrastive.train_clip(training, job.folder / f"clip_{name}")
    save_clip(clip, training.config, job.folder / "weights" / name)


def _attributes(job: Job) -> None:
    training = classifier.AttributeTraining(steps=job.steps(3200))
    if job.goes_on("attributes"):
        shipped = load_timm("shapes/attributes")
        training.network.load_state_dict(shipped.state_dict())
    network = classifier.train_judge(training, job.folder / "attributes")
    config = classifier.judge_config()
    classifier.save_timm(network, config, job.folder / "weights" / "attributes")


def _fine(job: Job, name: str) -> None:
    training = fine.FineTraining(name, steps=job.steps(1800))
    if job.goes_on(name):
        training.network.load_state_dict(load_timm(f"shapes/{name}").state_dict())
    network = fine.train_classifier(training, job.folder / name)
    fine.save_classifier(network, job.folder / "weights" / name, name)


def _aesthetic(job: Job) -> None:
    own = job.folder / "weights" / "guide"
    clip = load_clip(f"local-dir:{own}" if own.is_dir() else "shapes/guide")
    weight, bias = aesthetic.fit_head(clip, count=64 * job.steps(128))
    aesthetic.save_head(weight, bias, job.folder / "weights" / "aesthetic")


def _diffusion(job: Job) -> None:
    vae = AutoencoderKL.from_pretrained(job.folder / "vae")
    cache = job.folder / "latents.safetensors"
    if not cache.exists():
        count = min(40_000, 64 * job.steps(5000))
        latents, tokens = encode_scenes(vae, count)
        save_file({"latents": latents, "tokens": tokens}, cache)
    data, unet, encoder = load_file(cache), None, None
    if job.goes_on("pipeline"):
        shipped = StableDiffusionPipeline.from_pretrained(SHAPES / "pipeline")
        unet, encoder = diffusion.continue_from(shipped)
    encoder = train_text_encoder(job.folder / "text", job.steps(2500), encoder)
    for name, steps, lr, layout in DIFFUSION:
        training = DiffusionTraining(
            encoder,
            data["latents"],
            data["tokens"],
            steps=job.steps(steps),
            lr=lr,
            unet=unet,
            layout=layout,
        )
        folder = job.folder / name
        fit(training, folder, threads=job.threads, precision=job.precision)
        unet = training.average.requires_grad_(True)
    for part in (vae, training.average, encoder):
        part.eval().half()
    pipeline = diffusion.make_pipeline(vae, training.average, encoder)
    pipeline.save_pretrained(job.folder / "weights" / "pipeline")
