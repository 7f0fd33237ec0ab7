"""A model as its configuration describes it, without its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from doodl.pretrained.folders import locate
from doodl.pretrained.loading import UNUSED, Loading, family_of, is_file
from doodl.pretrained.text_to_image import TextToImage


def outline(
    name: str, dtype: torch.dtype = torch.float32, loading: Loading | None = None
) -> TextToImage:
    """Return a model whose networks are on the `meta` device: shapes, and no data.

    Only configurations and tokenizers are read.

    Args:
        name: of the model, as `TextToImage.load` takes it.
        dtype: of the networks' weights.
        loading: how it is found.

    Raises:
        ValueError: a single file does not say how it is built.
    """
    loading = loading or Loading()
    if is_file(name):
        if loading.config is None:
            raise ValueError(
                f"Expected the configuration of the single file '{name}', received "
                "none; set model.loading.config to a diffusers folder or a hub id."
            )
        name = loading.config
    source = locate(name, "model_index.json")
    family, index = family_of(source, loading)
    import diffusers

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
    return family(getattr(diffusers, index["_class_name"])(**parts), "meta")


def _part(
    source: str, library: str, name: str, dtype: torch.dtype, where: dict[str, Any]
) -> Any:
    """Return one part: a network without data, or a tokenizer or scheduler."""
    import diffusers
    import transformers

    if library == "diffusers":
        made = getattr(diffusers, name)
        if not issubclass(made, nn.Module):
            return made.from_pretrained(source, **where)
        with torch.device("meta"):
            network = made.from_config(made.load_config(source, **where))
        return nn.Module.to(network, dtype)  # diffusers' own warns needlessly
    made = getattr(transformers, name)
    if not issubclass(made, nn.Module):
        return made.from_pretrained(source, **where)
    config = made.config_class.from_pretrained(source, **where)
    with torch.device("meta"):
        return made(config).to(dtype)


def fill(network: nn.Module, device: torch.device) -> None:
    """Give a network numbers, in place, that take as long to compute with as its own.

    Args:
        network: without data.
        device: where it will live.
    """
    network.to_empty(device=device)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.02)
        for buffer in network.buffers():
            buffer.zero_()
