"""Trains two fine-grained classifiers of kinds and patterns, a guide and its judge.

Captions say "shape" for four of the kinds and "patterned" for three of the patterns, so
the text encoder has never read the names of these classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from doodl.images import to_images
from doodl.shapes.classifier import save_timm, timm_config
from doodl.shapes.renderer import render
from doodl.shapes.scenes import Scenes, draw_scenes
from doodl.shapes.training import Training, fit
from doodl.shapes.views import views
from doodl.shapes.words import KINDS, PATTERNS

CLASSES = tuple(f"{pattern} {kind}" for kind in KINDS for pattern in PATTERNS)
"""48 names, as "plain circle" and "dotted arrow"."""


@dataclass(frozen=True)
class Architecture:
    """Architecture and data of one classifier.

    Args:
        name: timm's name.
        arguments: of the architecture, besides the number of classes.
        classifier: name of the last layer.
        first_conv: name of the first layer.
        seed: of the weights and the pictures.
        quarter: of all draws, the one that the training sees.
    """

    name: str
    arguments: dict[str, Any]
    classifier: str
    first_conv: str
    seed: int
    quarter: int

    def make(self) -> nn.Module:
        """Return the untrained network: 64 px in, one logit for each class out."""
        return timm.create_model(
            self.name, pretrained=False, num_classes=len(CLASSES), **self.arguments
        )

    def config(self) -> dict[str, Any]:
        """Return timm's configuration."""
        return timm_config(
            self.name,
            self.arguments,
            num_classes=len(CLASSES),
            classifier=self.classifier,
            first_conv=self.first_conv,
        )


CLASSIFIERS = {
    "fine": Architecture(
        "densenet121",
        {"growth_rate": 16, "block_config": [2, 4, 4, 2]},
        classifier="classifier",
        first_conv="features.conv0",
        seed=43,
        quarter=0,
    ),
    "fine_judge": Architecture(
        "test_resnet",
        {},
        classifier="fc",
        first_conv="conv1.0",
        seed=47,
        quarter=1,
    ),
}
"""The guide that is asked for a class, and the judge of what it makes."""


def draw_singles(count: int, generator: torch.Generator) -> tuple[Scenes, Tensor]:
    """Return scenes of one object and their classes (N,), all equally likely."""
    scenes = draw_scenes(count, generator, held_out="with", pairs=0.0)
    shape = scenes.kind.shape
    scenes = scenes.replace(
        kind=torch.randint(len(KINDS), shape, generator=generator),
        pattern=torch.randint(len(PATTERNS), shape, generator=generator),
    )
    return scenes, scenes.kind[:, 0] * len(PATTERNS) + scenes.pattern[:, 0]


class FineTraining(Training):
    """Classification of single objects, every second one cropped.

    Args:
        name: of the classifier, one of `CLASSIFIERS`.
        steps: optimiser steps.
        lr: peak learning rate.
    """

    def __init__(self, name: str = "fine", *, steps: int, lr: float = 3e-3) -> None:
        architecture = CLASSIFIERS[name]
        seed, quarter = architecture.seed, architecture.quarter
        super().__init__(steps=steps, lr=lr, seed=seed, quarter=quarter)
        self.network = architecture.make()

    def training_step(self, batch: int) -> Tensor:
        """Return the summed cross-entropies of class, kind and pattern."""
        generator = self.generator()
        scenes, classes = draw_singles(64, generator)
        pixels, _ = views(render(scenes), generator)
        logits = self.network(to_images(pixels).to(self.device))
        classes = classes.to(logits.device)
        loss = cross_entropy(logits, classes)
        self.log("class", loss)
        # Kind and pattern apart are easier to begin with than both at once.
        both = logits.unflatten(1, (len(KINDS), len(PATTERNS)))
        kind, pattern = classes // len(PATTERNS), classes % len(PATTERNS)
        loss = loss + cross_entropy(both.logsumexp(dim=2), kind)
        return loss + cross_entropy(both.logsumexp(dim=1), pattern)


@torch.no_grad()
def fine_accuracy(network: nn.Module, *, seed: int = 8, count: int = 2048) -> float:
    """Return how often the class of a clean render of one object is right."""
    scenes, classes = draw_singles(count, torch.Generator().manual_seed(seed))
    logits = network(to_images(render(scenes)))
    return (logits.argmax(1) == classes).float().mean().item()


def train_classifier(training: FineTraining, folder: Path) -> nn.Module:
    """Train in `folder` and return the classifier in eval mode."""
    fit(training, folder)
    return training.network.eval()


def save_classifier(network: nn.Module, folder: Path, name: str = "fine") -> None:
    """Write a folder that timm loads, in float16, with the names of the classes."""
    save_timm(network, CLASSIFIERS[name].config(), folder)
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
