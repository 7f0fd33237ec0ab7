"""Loads a text-to-image model of any supported family, from wherever people have it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from doodl.pretrained.flow import Flux, StableDiffusion3
from doodl.pretrained.folders import locate
from doodl.pretrained.stable_diffusion import StableDiffusion, StableDiffusionXL
from doodl.pretrained.text_to_image import TextToImage

FAMILIES: dict[str, type[TextToImage]] = {
    "StableDiffusionPipeline": StableDiffusion,
    "LatentConsistencyModelPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "FluxPipeline": Flux,
}
"""Pipelines of diffusers, and what here knows them."""
UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts of a pipeline that no gradient goes through."""


@dataclass(frozen=True)
class Loading:
    """How a checkpoint is found, besides its name.

    Args:
        revision: branch, tag or commit on the hub.
        variant: of the files, as `fp16`.
        config: a diffusers folder or hub id that says how a single `.safetensors` file
            is built; without one diffusers asks the hub.
        lora: files or hub ids of LoRAs, added with weight 1; they need `peft`.
    """

    revision: str | None = None
    variant: str | None = None
    config: str | None = None
    lora: Sequence[str] = ()


def load(
    name: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    loading: Loading | None = None,
) -> TextToImage:
    """Load a model by hub id, folder, single file, or as `shapes`.

    Args:
        name: of the model.
        device: where the networks will live.
        dtype: of their weights.
        loading: how it is found.

    Raises:
        ValueError: when there is no such model, or it is of a family not known here.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    loading = loading or Loading()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    check_source(name, loading)
    kind, read = _reader(name, dtype, loading)
    try:
        with warnings.catch_warnings():
            # Older versions of diffusers know the argument by this name only.
            warnings.filterwarnings("ignore", "`torch_dtype`", FutureWarning)
            pipeline = read()
        for lora in loading.lora:
            _add_lora(pipeline, lora)
    except (OSError, KeyError, ValueError, RuntimeError, ImportError) as error:
        raise ValueError(
            f"Could not load '{name}' as a diffusers text-to-image model: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    return FAMILIES[kind](pipeline, device)


def check_source(name: str, loading: Loading | None = None) -> None:
    """Refuse, before anything is loaded, what is not on this machine and should be.

    Raises:
        ValueError: in one sentence.
    """
    loading = loading or Loading()
    for lora in loading.lora:
        path = Path(lora).expanduser()
        if (is_file(lora) or not _is_hub_id(lora)) and not path.exists():
            raise ValueError(f"There is no LoRA at '{lora}'.")
    if is_file(name):
        if not Path(name).expanduser().is_file():
            raise ValueError(f"There is no checkpoint at '{name}'.")
        if loading.config is not None:
            family_of(locate(loading.config, "model_index.json"), loading)
        return
    source = locate(name, "model_index.json")
    if Path(source).is_dir():
        check_parts(source, family_of(source, loading)[1])


def check_parts(source: str, index: dict[str, Any]) -> None:
    """Refuse a folder that lacks a part of its pipeline.

    Raises:
        ValueError: naming the parts; without its folder, transformers would make a
            tokenizer that knows no word.
    """
    parts = [
        name
        for name, value in index.items()
        if isinstance(value, list | tuple) and value[0] and name not in UNUSED
    ]
    missing = [part for part in parts if not (Path(source) / part).is_dir()]
    if missing:
        raise ValueError(
            f"Expected a folder for each part of the pipeline at '{source}', found "
            f"none for {', '.join(missing)}; download or save it again."
        )


def _reader(
    name: str, dtype: torch.dtype, loading: Loading
) -> tuple[str, Callable[[], Any]]:
    """Return the class of a pipeline by name, and what loads it."""
    import diffusers

    if is_file(name):
        config, kind = None, "StableDiffusionPipeline"
        if loading.config is not None:
            config = locate(loading.config, "model_index.json")
            kind = family_of(config, loading)[1]["_class_name"]
        return kind, partial(
            getattr(diffusers, kind).from_single_file,
            str(Path(name).expanduser()),
            config=config,
            torch_dtype=dtype,
            local_files_only=config is not None and Path(config).is_dir(),
            **_without(kind),
        )
    source = locate(name, "model_index.json")
    kind = family_of(source, loading)[1]["_class_name"]
    return kind, partial(
        getattr(diffusers, kind).from_pretrained,
        source,
        torch_dtype=dtype,
        revision=loading.revision,
        variant=loading.variant,
        **_without(kind),
    )


def _add_lora(pipeline: Any, lora: str) -> None:
    """Add a LoRA to the weights; nothing of it is left beside them."""
    path, where = Path(lora).expanduser(), {}
    if path.is_dir():  # a folder with one file, whose name is then known offline too
        path = next(path.glob("*.safetensors"), path)
    if path.is_file():
        lora, where = str(path.parent), {"weight_name": path.name}
    pipeline.load_lora_weights(lora, **where)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def family_of(
    source: str, loading: Loading
) -> tuple[type[TextToImage], dict[str, Any]]:
    """Return the family of a pipeline and its index, from its configuration alone."""
    index_file = Path(source) / "model_index.json"
    try:
        if index_file.is_file():
            index = json.loads(index_file.read_text())
        else:
            from diffusers import DiffusionPipeline

            index = DiffusionPipeline.load_config(source, revision=loading.revision)
        kind = index["_class_name"]
    except OSError as error:
        raise ValueError(
            f"Could not load '{source}' as a diffusers text-to-image model: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"Could not read the pipeline's index {index_file}."
        ) from error
    if kind not in FAMILIES:
        raise ValueError(
            f"Expected one of {', '.join(FAMILIES)} at '{source}', found a {kind}, "
            "whose network is asked in another way."
        )
    return FAMILIES[kind], index


def _without(kind: str) -> dict[str, None]:
    """Return what is left out of a pipeline that could have it."""
    if kind in ("StableDiffusionPipeline", "LatentConsistencyModelPipeline"):
        return {"safety_checker": None}
    return {}


def is_file(name: str) -> bool:
    """Return whether a name is that of a single checkpoint file."""
    return name.endswith(".safetensors")
