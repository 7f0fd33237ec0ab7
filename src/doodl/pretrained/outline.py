"""Builds a text-to-image model from its configuration, without its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from doodl.pretrained.families import pipeline_class
from doodl.pretrained.folders import locate
from doodl.pretrained.loading import UNUSED, CheckpointSource, family_of, is_file
from doodl.pretrained.text_to_image import TextToImage


def outline(
    name: str,
    dtype: torch.dtype = torch.float32,
    loading: CheckpointSource | None = None,
) -> TextToImage:
    """Return a model whose networks are on the `meta` device, without data.

    Only configurations and tokenizers are read. A dry run counts parameters and
    measures tensors with it.

    Args:
        name: name of the model, as `load_text_to_image` takes it.
        dtype: dtype of the networks' weights.
        loading: revision and configuration of the checkpoint.

    Raises:
        ValueError: there is no such model, or `name` is a single file and `loading`
            has no configuration for it.
    """
    loading = loading or CheckpointSource()
    if is_file(name):
        if loading.config is None:
            raise ValueError(
                f"Expected the configuration of the single file '{name}', received "
                "none; set model.loading.config to a diffusers folder or a hub id."
            )
        name = loading.config
    source = locate(name, "model_index.json")
    family, index = family_of(source, loading)
    parts: dict[str, Any] = {}
    for part, value in index.items():
        if not isinstance(value, list | tuple):
            if not part.startswith("_"):
                parts[part] = value
        elif part in UNUSED or value[0] is None:
            parts[part] = None
        else:
            library, kind = value
            where = {"subfolder": part, "revision": loading.revision}
            parts[part] = _part(source, library, kind, dtype, where)
    return family(pipeline_class(index["_class_name"])(**parts), "meta")


def _part(
    source: str, library: str, name: str, dtype: torch.dtype, where: dict[str, Any]
) -> Any:
    """Return one component: a network on `meta`, a tokenizer, or a scheduler."""
    import diffusers
    import transformers

    if library == "diffusers":
        made = getattr(diffusers, name)
        if not issubclass(made, nn.Module):
            return made.from_pretrained(source, **where)
        with torch.device("meta"):
            network = made.from_config(made.load_config(source, **where))
        return nn.Module.to(network, dtype)  # diffusers' own `to` warns
    made = getattr(transformers, name)
    if not issubclass(made, nn.Module):
        return made.from_pretrained(source, **where)
    config = made.config_class.from_pretrained(source, **where)
    with torch.device("meta"):
        return made(config).to(dtype)


def fill(network: nn.Module, device: torch.device) -> None:
    """Replace a network's missing weights with random ones, in place.

    Zeros would make the timing of its calls unrealistic on some hardware.

    Args:
        network: a network on the `meta` device.
        device: device of the new weights.
    """
    network.to_empty(device=device)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.02)
        for buffer in network.buffers():
            buffer.zero_()
    for module in network.modules():  # tables of positions that are no buffers
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor) and value.is_meta:
                setattr(module, name, torch.ones_like(value, device=device))
