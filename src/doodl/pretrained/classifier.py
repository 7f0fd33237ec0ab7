"""Loads image classifiers, from timm or torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from doodl.pretrained.folders import locate


def load_timm(name: str, device: torch.device | str = "cpu") -> nn.Module:
    """Load a classifier of timm, frozen and in eval mode.

    Args:
        name: `shapes/NAME`, a folder saved by timm, `hf-hub:owner/name`, or a model
            name of timm.
        device: device of the network.

    Raises:
        ValueError: there is no such classifier, or it cannot be read.
    """
    import timm

    source = locate(name, "config.json")
    local = Path(source).is_dir()
    try:
        network = timm.create_model(
            f"local-dir:{source}" if local else source, pretrained=True
        )
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"Could not load '{name}' with timm: {str(error).splitlines()[0]}"
        ) from error
    return network.requires_grad_(False).eval().to(device)


@dataclass(frozen=True)
class ImageClassifier:
    """A frozen classifier and the format of its input.

    Args:
        network: maps normalised pixels (N, 3, s, s) to logits (N, C).
        image_size: side s of the square input image, in pixels.
        mean: mean of each channel, subtracted from pixels in [0, 1].
        std: standard deviation of each channel, by which the result is divided.
    """

    network: nn.Module
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load_classifier(
    name: str, device: torch.device | str = "cpu", checkpoint: str | None = None
) -> ImageClassifier:
    """Load a classifier of timm or torchvision, frozen and in eval mode.

    Args:
        name: a name that `load_timm` takes; an architecture of timm, with
            `checkpoint`; or `torchvision:NAME`, as `torchvision:resnet50`.
        device: device of the network.
        checkpoint: file of a state dict; for timm it also gives the number of classes.

    Raises:
        ValueError: there is no such classifier, it cannot be read, or its input is not
            a square RGB image.
    """
    from timm.data import resolve_model_data_config

    if name.startswith("torchvision:"):
        return _load_torchvision(name, device, checkpoint)
    if checkpoint is None:
        network = load_timm(name, device)
    else:
        network = _load_checkpoint(name, checkpoint).to(device)
    config = resolve_model_data_config(network)
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise ValueError(
            f"Expected a classifier of square RGB pictures, '{name}' takes "
            f"{channels} channels of {height} x {width} px."
        )
    return ImageClassifier(network, height, tuple(config["mean"]), tuple(config["std"]))


def _load_torchvision(
    name: str, device: torch.device | str, checkpoint: str | None
) -> ImageClassifier:
    """Load a classifier of torchvision, with its own weights or those of a file."""
    from torchvision import models

    known = name.removeprefix("torchvision:")
    try:
        weights = models.get_model_weights(known).DEFAULT
        network = models.get_model(known, weights=None if checkpoint else weights)
        if checkpoint is not None:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
            network.load_state_dict(state)
    except Exception as error:  # a foreign file or a download may raise anything
        raise ValueError(
            f"Could not load '{name}' with torchvision: {str(error).splitlines()[0]}"
        ) from error
    preset = weights.transforms()
    network = network.requires_grad_(False).eval().to(device)
    return ImageClassifier(
        network, preset.crop_size[0], tuple(preset.mean), tuple(preset.std)
    )


def _load_checkpoint(name: str, checkpoint: str) -> nn.Module:
    """Return an architecture of timm with the weights and classes of a file."""
    import timm

    if not Path(checkpoint).is_file():
        raise ValueError(
            f"There is no checkpoint at '{checkpoint}'; give a file with a state dict."
        )
    try:
        # Weights only: an arbitrary pickle could run any code.
        state = timm.models.load_state_dict(checkpoint, device="cpu", weights_only=True)
        bias = f"{timm.models.get_pretrained_cfg_value(name, 'classifier')}.bias"
        if bias not in state:
            raise ValueError(f"it holds no {bias}")
        network = timm.create_model(
            name, pretrained=False, num_classes=len(state[bias])
        )
        network.load_state_dict(state)
    except Exception as error:  # a foreign file may raise anything
        raise ValueError(
            f"Could not load the checkpoint '{checkpoint}' into timm's '{name}': "
            f"{str(error).splitlines()[0]}"
        ) from error
    return network.requires_grad_(False).eval()
