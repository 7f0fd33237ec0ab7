"""Trains the attribute judge: a small timm ResNet that says what a picture shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from doodl.images import to_images
from doodl.shapes.arrangement import SIZE
from doodl.shapes.attributes import HEADS, IGNORED, NUM_LOGITS, attributes, split_logits
from doodl.shapes.renderer import render
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.towers import save_half
from doodl.shapes.training import Training, fit

ARCHITECTURE = "resnet10t"
ARGUMENTS = {"channels": [32, 64, 96, 128]}
MEAN = STD = (0.5, 0.5, 0.5)


def make_judge() -> nn.Module:
    """Return the untrained network: 64 px in, `NUM_LOGITS` out."""
    return timm.create_model(
        ARCHITECTURE, pretrained=False, num_classes=NUM_LOGITS, **ARGUMENTS
    )


class AttributeTraining(Training):
    """Classification of scenes, a seventh of them crowded and a few overlaid."""

    def __init__(self, *, steps: int, lr: float = 3e-3, seed: int = 31) -> None:
        super().__init__(steps=steps, lr=lr, seed=seed)
        self.network = make_judge()

    def training_step(self, batch: int) -> Tensor:
        """Return the summed cross-entropies of 64 pictures."""
        generator = self.generator()
        scenes = draw_scenes(64, generator, held_out="with", crowded=0.15)
        pixels, labels = render(scenes), attributes(scenes)
        # Eight ghosts: two pictures in one, which count as "other".
        pixels[:8] = (pixels[:8] + pixels[8:16]) / 2
        for head, label in labels.items():
            label[:8] = HEADS["layout"].index("other") if head == "layout" else IGNORED
        noise = 0.04 * torch.rand(64, 1, 1, 1, generator=generator)
        pixels = pixels + noise * torch.randn(pixels.shape, generator=generator)
        logits = split_logits(self.network(to_images(pixels).to(self.device)))
        losses = {
            k: cross_entropy(v, labels[k].to(v.device)) for k, v in logits.items()
        }
        self.log("kind", losses["second_kind"])
        return torch.stack(list(losses.values())).sum()


@torch.no_grad()
def scene_accuracy(network: nn.Module, *, seed: int = 6, count: int = 2048) -> float:
    """Return how often all attributes of a clean render are right.

    The size of a lone object, whose classes touch, is not counted.
    """
    scenes = draw_scenes(
        count, torch.Generator().manual_seed(seed), held_out="with", crowded=0.1
    )
    logits = split_logits(network(to_images(render(scenes))))
    right = torch.ones(count, dtype=torch.bool)
    for head, label in attributes(scenes).items():
        if head != "size":
            right &= (logits[head].argmax(1) == label) | (label == IGNORED)
    return right.float().mean().item()


def train_judge(training: AttributeTraining, folder: Path) -> nn.Module:
    """Train in `folder` and return the judge in eval mode."""
    fit(training, folder)
    return training.network.eval()


def save_timm(network: nn.Module, config: dict[str, Any], folder: Path) -> None:
    """Write a folder that timm loads as `local-dir:FOLDER`, in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_half(network, folder / "model.safetensors")


def timm_config(
    architecture: str,
    arguments: dict[str, Any],
    *,
    num_classes: int,
    classifier: str,
    first_conv: str,
) -> dict[str, Any]:
    """Return timm's configuration of a 64 px classifier.

    Args:
        architecture: timm's name.
        arguments: of the architecture, beyond the number of classes.
        num_classes: logits.
        classifier: name of the last layer.
        first_conv: name of the first layer.
    """
    return {
        "architecture": architecture,
        "num_classes": num_classes,
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [3, SIZE, SIZE],
            "mean": list(MEAN),
            "std": list(STD),
            "num_classes": num_classes,
            "classifier": classifier,
            "first_conv": first_conv,
        },
    }


def judge_config() -> dict[str, Any]:
    """Return timm's configuration of the judge."""
    return timm_config(
        ARCHITECTURE,
        ARGUMENTS,
        num_classes=NUM_LOGITS,
        classifier="fc",
        first_conv="conv1.0",
    )
