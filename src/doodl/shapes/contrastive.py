"""Trains the shapes world's CLIPs with open_clip's classes: guides, judge and referee.

No two share architecture, seed or pictures. All learn from twins, pairs that differ in
one phrase, and are asked to name the attributes of the objects from either embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, mse_loss, normalize

from doodl.images import to_images
from doodl.pretrained import load_clip
from doodl.shapes.aesthetic import draw_rated
from doodl.shapes.attributes import NUM_LOGITS, said, split_logits
from doodl.shapes.renderer import render
from doodl.shapes.scenes import Scenes, concatenate, draw_scenes
from doodl.shapes.tokenizer import carry_embedding, make_tokenizer, tokenize
from doodl.shapes.towers import CLIPS, make_clip
from doodl.shapes.training import Training, fit
from doodl.shapes.twins import twins
from doodl.shapes.views import views

BATCH = 40
"""Scenes of a step; as many twins come with them."""


class ContrastiveTraining(Training):
    """Contrastive training on newly drawn scenes and their twins.

    Args:
        name: of the CLIP, one of `CLIPS`.
        steps: optimiser steps.
        lr: peak learning rate.
    """

    def __init__(self, name: str, *, steps: int, lr: float = 1.5e-3) -> None:
        tower = CLIPS[name]
        super().__init__(steps=steps, lr=lr, seed=tower.seed, quarter=tower.quarter)
        self.config = tower.config()
        self.clip = make_clip(self.config)
        self.clip.visual.to(memory_format=torch.channels_last)  # faster on a CPU
        self.tokenizer = make_tokenizer()
        width = self.config["model_cfg"]["embed_dim"]
        self.heads = nn.Linear(width, NUM_LOGITS)
        self.rater = nn.Linear(width, 1) if tower.rates else None

    def training_step(self, batch: int) -> Tensor:
        """Return the loss over `BATCH` scenes and their twins."""
        generator = self.generator()
        scenes = draw_scenes(BATCH, generator, held_out="with")
        scenes = concatenate(scenes, twins(scenes, generator))
        captions = scenes.captions()
        pixels, _ = views(render(scenes), generator)
        tokens = tokenize(self.tokenizer, captions)
        images = self.clip.encode_image(to_images(pixels).to(self.device))
        texts = self.clip.encode_text(tokens.to(self.device))
        scale = self.clip.logit_scale.exp().clamp(max=100)
        loss = contrastive_loss(images, texts, scale, captions)
        self.log("contrastive", loss)
        loss = loss + self.named(images, scenes) + self.named(texts, scenes)
        return loss if self.rater is None else loss + self.rated(generator)

    def named(self, embeddings: Tensor, scenes: Scenes) -> Tensor:
        """Return the cross-entropy of the attributes that the captions say."""
        logits = split_logits(self.heads(embeddings))
        labels = {k: v.to(embeddings.device) for k, v in said(scenes).items()}
        losses = [cross_entropy(logits[k], labels[k]) for k in logits if k != "size"]
        return 0.3 * torch.stack(losses).sum()

    def rated(self, generator: torch.Generator) -> Tensor:
        """Return the error of ratings that are predicted from unit embeddings."""
        assert self.rater is not None
        pixels, ratings = draw_rated(BATCH // 2, generator)
        embeddings = self.clip.encode_image(to_images(pixels).to(self.device))
        predicted = self.rater(normalize(embeddings, dim=1))[:, 0]
        # Ratings are centred at about 5.5 with a spread of about 2.
        error = mse_loss(predicted, ((ratings - 5.5) / 2).to(self.device))
        self.log("rating", error)
        return error


def contrastive_loss(
    images: Tensor, texts: Tensor, scale: Tensor, captions: list[str]
) -> Tensor:
    """Return the mean cross-entropy of matching pictures and captions either way.

    Pictures of the same caption are equally right answers to it.

    Args:
        images: (N, D) embeddings of any length.
        texts: (N, D) embeddings of their captions.
        scale: 0-d factor of the cosines.
        captions: N texts.
    """
    logits = scale * (normalize(images, dim=1) @ normalize(texts, dim=1).T)
    same = torch.tensor([[a == b for b in captions] for a in captions])
    target = (same.float() / same.sum(1, keepdim=True)).to(logits.device)
    by_image = -(target * log_softmax(logits, 1)).sum(1).mean()
    by_text = -(target * log_softmax(logits.T, 1)).sum(1).mean()
    return (by_image + by_text) / 2


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
    return training.clip.eval()


def continue_from(training: ContrastiveTraining, name: str) -> None:
    """Start a training from a shipped CLIP's weights, with the current vocabulary."""
    shipped = load_clip(name)
    state = shipped.network.state_dict()
    key = "token_embedding.weight"
    old = shipped.tokenizer.tokenizer
    state[key] = carry_embedding(state[key], old, training.tokenizer)
    training.clip.load_state_dict(state)
