"""Measures the shapes world that ships: reconstruction, captions, samples."""

from __future__ import annotations

import json
from typing import Literal

import torch
from torch import Tensor

from doodl.generation import Generation
from doodl.guides import Aesthetic
from doodl.pretrained import (
    SHAPES,
    TextToImage,
    load_clip,
    load_text_to_image,
    load_timm,
)
from doodl.shapes import aesthetic, autoencoder, classifier, contrastive, fine
from doodl.shapes.judge import AttributeJudge
from doodl.shapes.scenes import NAMED, Scenes, draw_scenes
from doodl.shapes.towers import GUIDES

GOALS = {
    "vae_psnr_db": 34.0,
    "guide_twin_accuracy": 0.95,
    "judge_twin_accuracy": 0.95,
    "guide_b_twin_accuracy": 0.90,
    "guide_c_twin_accuracy": 0.90,
    "attributes_scene_accuracy": 0.99,
    "fine_accuracy": 0.95,
    "aesthetic_correlation": 0.90,
    "ddim50_single_object": 0.95,
    "ddim50_two_objects": 0.60,
}


def evaluate(count: int = 128, guidance_scale: float = 5.0) -> dict[str, float]:
    """Print and record, next to the weights, the figures of every network.

    Args:
        count: captions of each kind that are drawn with 50 steps of DDIM.
        guidance_scale: of those samples.
    """
    model = load_text_to_image("shapes")
    figures = {"vae_psnr_db": autoencoder.reconstruction_psnr(model.vae), **frozen()}
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


def frozen() -> dict[str, float]:
    """Return the figures of guides and judges, each on renders of its own."""
    figures = {}
    for name in (*GUIDES, "judge"):
        clip = load_clip(f"shapes/{name}")
        accuracy = contrastive.twin_accuracy(clip.network, clip.tokenize)
        figures[f"{name}_twin_accuracy"] = accuracy
    judge, classes = load_timm("shapes/attributes"), load_timm("shapes/fine")
    head = Aesthetic("shapes/guide", "shapes/aesthetic")
    head.load()
    return {
        **figures,
        "attributes_scene_accuracy": classifier.scene_accuracy(judge),
        "fine_accuracy": fine.fine_accuracy(classes),
        "aesthetic_correlation": aesthetic.correlation(head.rate),
    }


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
