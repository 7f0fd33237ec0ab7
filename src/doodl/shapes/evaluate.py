"""Measures the weights of the shapes world: reconstruction, captions, samples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

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
from doodl.shapes import aesthetic, autoencoder, classifier, contrastive, fine, goals
from doodl.shapes.judge import AttributeJudge
from doodl.shapes.renderer import render
from doodl.shapes.samples import (
    PAPER,
    SHORT,
    decode,
    edict_pairs,
    guided_call_gflop,
    relative_gap,
    sample,
)
from doodl.shapes.scenes import HeldOut, Scenes, concatenate, draw_scenes
from doodl.shapes.sharpness import sharpness
from doodl.shapes.towers import CLIPS
from doodl.shapes.words import NAMED

FRUITLESS = 100
"""Draws of 256 scenes in a row without a new caption, after which it is given up."""


def evaluate(
    count: int = 128, guidance_scale: float = 5.0, weights: Path | None = None
) -> dict[str, float]:
    """Print and record, next to the weights, the figures of every network.

    Args:
        count: captions of each kind that are drawn with 50 steps of DDIM.
        guidance_scale: of those samples.
        weights: folder of the networks, by default that which ships.
    """
    folder = weights or SHAPES
    model = load_text_to_image(str(folder / "pipeline"))
    figures = {
        "vae_psnr_db": autoencoder.reconstruction_psnr(model.vae),
        **frozen(folder),
        **ddim_figures(model, folder, count, guidance_scale),
        **edict_figures(model, folder, count),
        "weights_mb": megabytes(folder),
        "guided_call_gflop": guided_call_gflop(model),
    }
    print(goals.table(figures))
    (folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def frozen(folder: Path) -> dict[str, float]:
    """Return the figures of the guides and judges in a folder, on their own renders."""
    figures = {}
    for name in _there(CLIPS, folder):
        clip = load_clip(str(folder / name))
        accuracy = contrastive.twin_accuracy(clip.network, clip.tokenize)
        figures[f"{name}_twin_accuracy"] = accuracy
    judge = load_timm(str(folder / "attributes"))
    figures["attributes_scene_accuracy"] = classifier.scene_accuracy(judge)
    for name in _there(fine.CLASSIFIERS, folder):
        network = load_timm(str(folder / name))
        figures[f"{name}_accuracy"] = fine.fine_accuracy(network)
    head = Aesthetic(str(folder / "guide"), str(folder / "aesthetic"))
    head.load()
    figures["aesthetic_correlation"] = aesthetic.correlation(head.rate)
    return figures


def ddim_figures(
    model: TextToImage, folder: Path, count: int, guidance_scale: float
) -> dict[str, float]:
    """Return how often DDIM samples are right, and how sharp those of pairs are."""
    figures = {}
    kinds: tuple[tuple[str, float, HeldOut], ...] = (
        ("single_object", 0.0, "without"),
        ("two_objects", 1.0, "without"),
        ("unusual", 1.0, "only"),
    )
    for name, pairs, held_out in kinds:
        scenes = plain_scenes(count, pairs=pairs, held_out=held_out)
        captions = scenes.captions()
        pixels = sample(model, captions, guidance_scale)
        figures[f"ddim50_{name}"] = share_right(pixels, captions, folder)
        if name == "two_objects":
            figures["sharpness"] = sharpness(pixels, render(scenes))
    return figures


def edict_figures(model: TextToImage, folder: Path, count: int) -> dict[str, float]:
    """Return the gap of EDICT's pairs, and how often they are right next to DDIM."""
    captions = plain_captions(count, pairs=1.0)
    final = edict_pairs(model, captions, PAPER)
    edict = share_right(decode(model, final[0]), captions, folder)
    pixels = sample(model, captions, PAPER.guidance_scale, steps=PAPER.steps)
    ddim = share_right(pixels, captions, folder)
    return {
        "edict50_gap": relative_gap(final),
        "edict50_two_objects": edict,
        "ddim50_two_objects_7.5": ddim,
        "edict50_right_minus_ddim": edict - ddim,
        "edict20_gap": relative_gap(edict_pairs(model, captions, SHORT)),
    }


def plain_captions(
    count: int, *, pairs: float, held_out: HeldOut = "without", seed: int = 7
) -> list[str]:
    """Return different captions that name kind and colour of every, plain object."""
    return plain_scenes(count, pairs=pairs, held_out=held_out, seed=seed).captions()


def plain_scenes(
    count: int, *, pairs: float, held_out: HeldOut = "without", seed: int = 7
) -> Scenes:
    """Return scenes of different captions that name kind and colour of each object.

    They are fewer than `count` where `FRUITLESS` draws find no further caption.
    """
    generator = torch.Generator().manual_seed(seed)
    captions: set[str] = set()
    found: list[Scenes] = []
    fruitless = 0
    while len(captions) < count and fruitless < FRUITLESS:
        scenes = draw_scenes(256, generator, pairs=pairs, held_out=held_out)
        scenes, before = scenes[_plain(scenes)], len(captions)
        for i, caption in enumerate(scenes.captions()):
            if caption not in captions:
                captions.add(caption)
                found.append(scenes[i : i + 1])
        fruitless = fruitless + 1 if len(captions) == before else 0
    return concatenate(*found[:count])


def share_right(pixels: Tensor, captions: list[str], folder: Path) -> float:
    """Return how often a picture is all that its caption names.

    Args:
        pixels: (N, 3, 64, 64) in [0, 1].
        captions: N texts.
        folder: of the networks, one of which is the attribute judge.
    """
    judge = AttributeJudge(str(folder / "attributes"))
    judge.load()
    generations = [Generation(caption, 0) for caption in captions]
    verdicts = judge.verdicts(pixels, generations)
    return sum(map(bool, verdicts)) / len(verdicts)


def megabytes(folder: Path) -> float:
    """Return the size of all files in a folder, in 10^6 bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*.*")) / 1e6


def _there(names: Iterable[str], folder: Path) -> list[str]:
    """Return the names of networks that have been trained."""
    return [name for name in names if (folder / name).is_dir()]


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
