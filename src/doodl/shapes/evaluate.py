"""Measures the shapes world that ships: reconstruction, captions, samples."""

from __future__ import annotations

import json
from typing import Literal

import torch
from torch import Tensor

from doodl.data import Generation
from doodl.pretrained import SHAPES, TextToImage, load_clip, load_timm
from doodl.shapes import autoencoder, classifier, contrastive
from doodl.shapes.judge import AttributeJudge
from doodl.shapes.scenes import NAMED, Scenes, draw_scenes

GOALS = {
    "vae_psnr_db": 34.0,
    "guide_twin_accuracy": 0.95,
    "judge_twin_accuracy": 0.95,
    "attributes_scene_accuracy": 0.99,
    "ddim50_single_object": 0.95,
    "ddim50_two_objects": 0.60,
}


def evaluate(count: int = 128, guidance_scale: float = 5.0) -> dict[str, float]:
    """Print and record, next to the weights, the figures of every network.

    Args:
        count: captions of each kind that are drawn with 50 steps of DDIM.
        guidance_scale: of those samples.
    """
    model = TextToImage.load("shapes")
    guide, judge = load_clip("shapes/guide"), load_clip("shapes/judge")
    figures = {
        "vae_psnr_db": autoencoder.reconstruction_psnr(model.vae),
        "guide_twin_accuracy": contrastive.twin_accuracy(guide.network, guide.tokenize),
        "judge_twin_accuracy": contrastive.twin_accuracy(judge.network, judge.tokenize),
        "attributes_scene_accuracy": classifier.scene_accuracy(
            load_timm("shapes/attributes")
        ),
    }
    for name, pairs, held_out in (
        ("ddim50_single_object", 0.0, "without"),
        ("ddim50_two_objects", 1.0, "without"),
        ("ddim50_unusual", 1.0, "only"),
    ):
        captions = plain_captions(count, pairs=pairs, held_out=held_out)  # type: ignore[arg-type]
        figures[name] = success(model, captions, guidance_scale)
    for name, value in figures.items():
        goal = f"   goal {GOALS[name]:g}" if name in GOALS else ""
        print(f"{name:28} {value:7.3f}{goal}")
    (SHAPES / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def plain_captions(
    count: int,
    *,
    pairs: float,
    held_out: Literal["without", "with", "only"] = "without",
    seed: int = 7,
) -> list[str]:
    """Return different captions that name kind and colour of every, plain object."""
    generator = torch.Generator().manual_seed(seed)
    captions: dict[str, None] = {}
    while len(captions) < count:
        scenes = draw_scenes(256, generator, pairs=pairs, held_out=held_out)
        captions |= dict.fromkeys(scenes[_plain(scenes)].captions())
    return list(captions)[:count]


def sample(
    model: TextToImage, captions: list[str], guidance_scale: float, *, steps: int = 50
) -> Tensor:
    """Return diffusers' own DDIM samples (N, 3, 64, 64) in [0, 1], seeds 0, 1, ..."""
    model.pipeline.set_progress_bar_config(disable=True)
    batches = []
    for start in range(0, len(captions), 32):
        texts = captions[start : start + 32]
        numbers = range(start, start + len(texts))
        pictures = model.pipeline(
            texts,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(n) for n in numbers],
            output_type="pt",
        ).images
        batches.append(pictures.float())
    return torch.cat(batches)


def success(model: TextToImage, captions: list[str], guidance_scale: float) -> float:
    """Return how often a sample is all that its caption names."""
    judge = AttributeJudge()
    judge.load()
    generations = [Generation(caption, 0) for caption in captions]
    verdicts = judge.verdicts(sample(model, captions, guidance_scale), generations)
    return sum(map(bool, verdicts)) / len(verdicts)


def _plain(scenes: Scenes) -> Tensor:
    """Return which captions name kind and colour of every object, (N,) bool."""
    clear = (
        (scenes.kind[:, :2] < len(NAMED))
        & (scenes.pattern[:, :2] == 0)
        & scenes.says_kind
        & scenes.says_colour
    )
    clear |= ~scenes.present[:, :2]
    return clear.all(dim=1) & scenes.says_relation
