"""Trains the shapes world's CLIPs with open_clip's classes: a guide and a judge.

They share neither architecture nor seed nor pictures nor auxiliary labels: the guide's
embedding is asked for the attributes of the two objects, the judge's patches for what
covers them. Both learn from twins, pairs that differ in one phrase.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import (
    affine_grid,
    cross_entropy,
    grid_sample,
    log_softmax,
    normalize,
)

from doodl.pretrained import load_clip
from doodl.shapes.attributes import IGNORED, NUM_LOGITS, said, split_logits
from doodl.shapes.renderer import render, segment
from doodl.shapes.scenes import (
    COLOURS,
    KINDS,
    SIZE,
    Scenes,
    concatenate,
    draw_scenes,
    twins,
)
from doodl.shapes.tokenizer import CONTEXT, carry_embedding, make_tokenizer
from doodl.shapes.training import Training, fit

MEAN = STD = (0.5, 0.5, 0.5)
GUIDE = {"layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
JUDGE = {"layers": 5, "width": 128, "head_width": 32, "patch_size": 8}


def clip_config(vision: dict[str, Any], *, width: int, layers: int) -> dict[str, Any]:
    """Return an open_clip configuration of a 64 px image tower and a text tower."""
    tokenizer = make_tokenizer()
    text = {
        "context_length": CONTEXT,
        "vocab_size": len(tokenizer),
        "hf_tokenizer_name": "tokenizer",
        "width": width,
        "heads": 4,
        "layers": layers,
    }
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {"image_size": SIZE, **vision},
            "text_cfg": text,
        },
        "preprocess_cfg": {"size": SIZE, "mean": list(MEAN), "std": list(STD)},
    }


class ContrastiveTraining(Training):
    """Contrastive training on scenes and their twins; subclasses add labels.

    Args:
        config: open_clip's configuration of the network.
        steps: optimiser steps.
        lr: peak learning rate.
        seed: of the weights, the scenes and the batches.
        count: scenes that are rendered, with their twins, before the first step.
    """

    def __init__(
        self,
        config: dict[str, Any],
        *,
        steps: int,
        lr: float,
        seed: int,
        count: int = 16384,
    ) -> None:
        super().__init__(steps=steps, lr=lr, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        count = min(count, 48 * steps)  # no more than will be drawn
        self.scenes = draw_scenes(count, generator, held_out="with")
        self.twins = twins(self.scenes, generator)
        self.pictures, self.others = _album(self.scenes), _album(self.twins)
        model = config["model_cfg"]
        self.clip = CLIP(model["embed_dim"], model["vision_cfg"], model["text_cfg"])
        self.tokenizer = make_tokenizer()

    def training_step(self, batch: int) -> Tensor:
        """Return the loss over 48 scenes and their 48 twins."""
        generator = self.generator()
        index = torch.randint(len(self.scenes), (48,), generator=generator)
        scenes = concatenate(self.scenes[index], self.twins[index])
        captions = scenes.captions()
        pictures = torch.cat((self.pictures[index], self.others[index])) / 255
        pixels, frame = views(pictures, generator)
        tokens = tokenize(self.tokenizer, captions)
        images, extra = self.embed(pixels.to(self.device), scenes, frame)
        texts = self.clip.encode_text(tokens.to(self.device))
        logits = self.clip.logit_scale.exp().clamp(max=100) * (
            normalize(images, dim=1) @ normalize(texts, dim=1).T
        )
        same = torch.tensor([[a == b for b in captions] for a in captions])
        target = same.float().to(self.device) / same.sum(1, keepdim=True)
        loss = -(target * log_softmax(logits, 1)).sum(1).mean() / 2
        loss = loss - (target * log_softmax(logits.T, 1)).sum(1).mean() / 2
        self.log("contrastive", loss)
        return loss + extra + self.read(texts, scenes)

    def embed(
        self, pixels: Tensor, scenes: Scenes, frame: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return image embeddings and the loss of auxiliary labels."""
        raise NotImplementedError

    def read(self, texts: Tensor, scenes: Scenes) -> Tensor | float:
        """Return the loss of auxiliary labels of the text embeddings."""
        return 0.0


class GuideTraining(ContrastiveTraining):
    """A ResNet and a shallow text tower; both embeddings name the attributes."""

    def __init__(self, *, steps: int, lr: float = 1.5e-3, seed: int = 11) -> None:
        config = clip_config(GUIDE, width=128, layers=2)
        super().__init__(config, steps=steps, lr=lr, seed=seed)
        self.config = config
        self.heads = nn.Linear(128, NUM_LOGITS)

    def embed(
        self, pixels: Tensor, scenes: Scenes, frame: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings and how badly they name what the captions say."""
        images = self.clip.encode_image((pixels - 0.5) / 0.5)
        return images, self.read(images, scenes)

    def read(self, texts: Tensor, scenes: Scenes) -> Tensor:
        """Return the mean cross-entropy of the attributes that the captions say."""
        logits = split_logits(self.heads(texts))
        labels = {k: v.to(self.device) for k, v in said(scenes).items()}
        losses = [cross_entropy(logits[k], labels[k]) for k in logits if k != "size"]
        return 0.3 * torch.stack(losses).sum()


class JudgeTraining(ContrastiveTraining):
    """A vision transformer whose patches name what covers them."""

    def __init__(self, *, steps: int, lr: float = 1e-3, seed: int = 23) -> None:
        config = clip_config(JUDGE, width=96, layers=3)
        super().__init__(config, steps=steps, lr=lr, seed=seed)
        self.config = config
        self.clip.visual.output_tokens = True
        self.heads = nn.Linear(JUDGE["width"], 1 + len(KINDS) + len(COLOURS))

    def embed(
        self, pixels: Tensor, scenes: Scenes, frame: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings and how badly patches name their kind and colour."""
        images, patches = self.clip.visual((pixels - 0.5) / 0.5)
        kinds, colours = self.heads(patches).split((1 + len(KINDS), len(COLOURS)), -1)
        owner = _resample(segment(scenes)[:, None].float(), frame, "nearest")
        owner = owner[:, 0, 4::8, 4::8].flatten(1).long()
        slot = (owner - 1).clamp(min=0)
        kind = torch.where(owner > 0, 1 + scenes.kind.gather(1, slot), 0)
        colour = torch.where(owner > 0, scenes.colour.gather(1, slot), IGNORED)
        loss = cross_entropy(kinds.transpose(1, 2), kind.to(self.device))
        loss = loss + cross_entropy(colours.transpose(1, 2), colour.to(self.device))
        return images, 0.5 * loss


def _album(scenes: Scenes) -> Tensor:
    """Render scenes to bytes, (N, 3, 64, 64)."""
    chunks = torch.arange(len(scenes)).split(256)
    return torch.cat([(render(scenes[i]) * 255).round().byte() for i in chunks])


def views(pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return every second picture whole, the others cropped to 40 to 64 px, at 64 px.

    A little noise is added, since generated pictures are never as clean as renders.
    The second result is the affine map (N, 2, 3) of each view.
    """
    n = len(pixels)
    scale = 0.625 + 0.375 * torch.rand(n, generator=generator)
    scale = torch.where(torch.arange(n) % 2 == 0, 1.0, scale)
    shift = (1 - scale)[:, None] * (2 * torch.rand(n, 2, generator=generator) - 1)
    frame = torch.zeros(n, 2, 3)
    frame[:, 0, 0] = frame[:, 1, 1] = scale
    frame[:, :, 2] = shift
    noise = 0.03 * torch.rand(n, 1, 1, 1, generator=generator)
    speckle = torch.randn(pixels.shape, generator=generator)
    return _resample(pixels, frame, "bilinear") + noise * speckle, frame


def tokenize(tokenizer: Any, captions: list[str]) -> Tensor:  # noqa: ANN401
    """Return (N, 20) token numbers."""
    return tokenizer(
        captions, padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids


@torch.no_grad()
def twin_accuracy(
    clip: CLIP,
    read: Callable[[list[str]], Tensor],
    *,
    seed: int = 5,
    count: int = 1024,
) -> float:
    """Return how often a picture is nearer to its caption than to its twin's.

    Args:
        clip: the network.
        read: its tokenizer.
        seed: of the scenes.
        count: of the scenes.
    """
    generator = torch.Generator().manual_seed(seed)
    scenes = draw_scenes(count, generator, held_out="with")
    captions, others = scenes.captions(), twins(scenes, generator).captions()
    images = clip.encode_image((render(scenes) - 0.5) / 0.5, normalize=True)
    right = clip.encode_text(read(captions), normalize=True)
    wrong = clip.encode_text(read(others), normalize=True)
    differ = torch.tensor([a != b for a, b in zip(captions, others, strict=True)])
    better = (images * right).sum(1) > (images * wrong).sum(1)
    return better[differ].float().mean().item()


def train_clip(training: GuideTraining | JudgeTraining, folder: Path) -> CLIP:
    """Train in `folder` and return the CLIP in eval mode."""
    fit(training, folder)
    training.clip.visual.output_tokens = False
    return training.clip.eval()


def continue_from(training: ContrastiveTraining, name: str) -> None:
    """Start a training from a shipped CLIP's weights, with today's vocabulary."""
    shipped = load_clip(name)
    state = shipped.network.state_dict()
    key = "token_embedding.weight"
    old = shipped.tokenizer.tokenizer
    state[key] = carry_embedding(state[key], old, training.tokenizer)
    training.clip.load_state_dict(state)


def save_clip(clip: CLIP, config: dict[str, Any], folder: Path) -> None:
    """Write a folder that open_clip loads as `local-dir:FOLDER`, in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    make_tokenizer().save_pretrained(folder)
    weights = {
        k: v.half().contiguous() if v.is_floating_point() else v
        for k, v in clip.state_dict().items()
    }
    save_file(weights, folder / "open_clip_model.safetensors")


def _resample(pixels: Tensor, frame: Tensor, mode: str) -> Tensor:
    grid = affine_grid(frame, list(pixels.shape), align_corners=False)
    return grid_sample(
        pixels, grid, mode=mode, padding_mode="border", align_corners=False
    )
