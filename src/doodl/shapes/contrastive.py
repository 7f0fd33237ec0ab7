"""Trains the shapes world's CLIPs with open_clip's classes: guides and a judge.

No two share architecture, seed or pictures. Nor do guides and judge share auxiliary
labels: a guide's embedding is asked for the attributes of the two objects, the judge's
patches for what covers them. All learn from twins, pairs that differ in one phrase.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, normalize

from doodl.images import to_images
from doodl.pretrained import load_clip
from doodl.shapes.attributes import IGNORED, NUM_LOGITS, said, split_logits
from doodl.shapes.renderer import render, segment
from doodl.shapes.scenes import (
    COLOURS,
    KINDS,
    Scenes,
    concatenate,
    draw_scenes,
    twins,
)
from doodl.shapes.tokenizer import carry_embedding, make_tokenizer, tokenize
from doodl.shapes.towers import GUIDES, JUDGE, clip_config, make_clip
from doodl.shapes.training import Training, fit
from doodl.shapes.views import resample, views


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
        self.config, self.clip = config, make_clip(config)
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
    """Two towers whose embeddings both name the attributes.

    Args:
        name: of the guide, one of `GUIDES`.
        steps: optimiser steps.
        lr: peak learning rate.
    """

    def __init__(self, name: str, *, steps: int, lr: float = 1.5e-3) -> None:
        tower = GUIDES[name]
        config = clip_config(tower.vision, width=tower.width, layers=tower.layers)
        super().__init__(config, steps=steps, lr=lr, seed=tower.seed)
        self.heads = nn.Linear(config["model_cfg"]["embed_dim"], NUM_LOGITS)

    def embed(
        self, pixels: Tensor, scenes: Scenes, frame: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings and how badly they name what the captions say."""
        images = self.clip.encode_image(to_images(pixels))
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
        self.clip.visual.output_tokens = True
        self.heads = nn.Linear(JUDGE["width"], 1 + len(KINDS) + len(COLOURS))

    def embed(
        self, pixels: Tensor, scenes: Scenes, frame: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings and how badly patches name their kind and colour."""
        images, patches = self.clip.visual(to_images(pixels))
        kinds, colours = self.heads(patches).split((1 + len(KINDS), len(COLOURS)), -1)
        owner = resample(segment(scenes)[:, None].float(), frame, "nearest")
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
    images = clip.encode_image(to_images(render(scenes)), normalize=True)
    right = clip.encode_text(read(captions), normalize=True)
    wrong = clip.encode_text(read(others), normalize=True)
    differ = torch.tensor([a != b for a, b in zip(captions, others, strict=True)])
    better = (images * right).sum(1) > (images * wrong).sum(1)
    return better[differ].float().mean().item()


def train_clip(training: ContrastiveTraining, folder: Path) -> CLIP:
    """Train in `folder` and return the CLIP in eval mode."""
    fit(training, folder)
    training.clip.visual.output_tokens = False
    return training.clip.eval()


def continue_from(training: ContrastiveTraining, name: str) -> None:
    """Start a training from a shipped CLIP's weights, with the current vocabulary."""
    shipped = load_clip(name)
    state = shipped.network.state_dict()
    key = "token_embedding.weight"
    old = shipped.tokenizer.tokenizer
    state[key] = carry_embedding(state[key], old, training.tokenizer)
    training.clip.load_state_dict(state)
