"""Loads a text-to-image model: from the hub, a folder, a single file, or `shapes`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from doodl.pretrained.borrowing import Pipeline
from doodl.pretrained.families import (
    FAMILIES,
    UNSUPPORTED,
    family_of_object,
    pipeline_class,
)
from doodl.pretrained.folders import locate
from doodl.pretrained.missing import complete
from doodl.pretrained.text_to_image import TextToImage

UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
"""Components of a pipeline that text-to-image sampling does not use."""


@dataclass(frozen=True)
class CheckpointSource:
    """Where a checkpoint's files come from, in addition to its name.

    Args:
        revision: branch, tag or commit on the hub.
        variant: variant of the weight files, as `fp16`.
        config: diffusers folder or hub id with the configuration of a single
            `.safetensors` file; without it diffusers downloads one from the hub.
        lora: files or hub ids of LoRAs, which are fused into the weights with scale 1;
            this needs the package `peft`.
    """

    revision: str | None = None
    variant: str | None = None
    config: str | None = None
    lora: Sequence[str] = ()


def load_text_to_image(
    name: str | Pipeline,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    loading: CheckpointSource | None = None,
) -> TextToImage:
    """Load a model with frozen networks in eval mode.

    Args:
        name: hub id `owner/name`, folder saved by diffusers, single `.safetensors`
            file, or `shapes` for the model that this package contains; or a diffusers
            pipeline that is loaded already.
        device: device of the networks.
        dtype: dtype of their weights; a loaded pipeline keeps its own.
        loading: revision, variant, configuration and LoRAs of the checkpoint.

    Raises:
        ValueError: there is no such model, or it cannot be read or used.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    if not isinstance(name, str):
        return family_of_object(name)(name, device)
    loading = loading or CheckpointSource()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    check_source(name, loading)
    kind, read = _reader(name, dtype, loading)
    try:
        with warnings.catch_warnings():
            # Older versions of diffusers know no other name.
            warnings.filterwarnings("ignore", "`torch_dtype`", FutureWarning)
            pipeline = complete(read)
        for lora in loading.lora:
            _add_lora(pipeline, lora)
    except (OSError, KeyError, ValueError, RuntimeError, ImportError) as error:
        raise ValueError(
            f"Could not load '{name}' as a diffusers text-to-image model: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    return FAMILIES[kind](pipeline, device)


def check_source(name: str | Pipeline, loading: CheckpointSource | None = None) -> None:
    """Refuse local files and folders that are missing or incomplete.

    Nothing is loaded, and the hub is not asked.

    Args:
        name: the model, as `load_text_to_image` takes it.
        loading: revision, variant, configuration and LoRAs of the checkpoint.

    Raises:
        ValueError: a local checkpoint, its configuration, a component of its pipeline
            or a LoRA is missing.
    """
    if not isinstance(name, str):
        family_of_object(name)
        return
    loading = loading or CheckpointSource()
    for lora in loading.lora:
        path = Path(lora).expanduser()
        if (is_file(lora) or not _is_hub_id(lora)) and not path.exists():
            raise ValueError(
                f"There is no LoRA at '{lora}'; give a file, a folder or a hub id."
            )
    if is_file(name):
        if not Path(name).expanduser().is_file():
            raise ValueError(
                f"There is no checkpoint at '{name}'; give a file, a folder saved by "
                "diffusers, or a hub id."
            )
        if loading.config is not None:
            family_of(locate(loading.config, "model_index.json"), loading)
        return
    source = locate(name, "model_index.json")
    if Path(source).is_dir():
        check_parts(source, family_of(source, loading)[1])


def check_parts(source: str, index: dict[str, Any]) -> None:
    """Refuse a pipeline's folder that lacks the folder of a component.

    Otherwise transformers makes a tokenizer without a vocabulary for a missing folder.

    Args:
        source: the pipeline's folder.
        index: content of its `model_index.json`.

    Raises:
        ValueError: naming the missing components.
    """
    parts = [
        name
        for name, value in index.items()
        if isinstance(value, list | tuple) and value[0] and name not in UNUSED
    ]
    missing = [part for part in parts if not any((Path(source) / part).glob("*"))]
    if missing:
        raise ValueError(
            f"Expected a filled folder for each part of the pipeline '{source}', found "
            f"none for {', '.join(missing)}; download or save it again."
        )


def _reader(
    name: str, dtype: torch.dtype, loading: CheckpointSource
) -> tuple[str, Callable[[], Any]]:
    """Return a pipeline's class name and the function that loads the pipeline."""
    if is_file(name):
        config, kind = None, "StableDiffusionPipeline"
        if loading.config is not None:
            config = locate(loading.config, "model_index.json")
            kind = family_of(config, loading)[1]["_class_name"]
        return kind, partial(
            pipeline_class(kind).from_single_file,
            str(Path(name).expanduser()),
            config=config,
            torch_dtype=dtype,
            local_files_only=config is not None and Path(config).is_dir(),
            **_without(kind),
        )
    source = locate(name, "model_index.json")
    kind = family_of(source, loading)[1]["_class_name"]
    return kind, partial(
        pipeline_class(kind).from_pretrained,
        source,
        torch_dtype=dtype,
        revision=loading.revision,
        variant=loading.variant,
        use_safetensors=True,  # a pickle could run code
        **_without(kind),
    )


def _add_lora(pipeline: Any, lora: str) -> None:
    """Fuse a LoRA into the weights and remove its adapter layers."""
    path, where = Path(lora).expanduser(), {}
    if path.is_dir():  # offline, diffusers needs the name of the file
        path = next(path.glob("*.safetensors"), path)
    if path.is_file():
        lora, where = str(path.parent), {"weight_name": path.name}
    pipeline.load_lora_weights(lora, **where)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def family_of(
    source: str, loading: CheckpointSource
) -> tuple[type[TextToImage], dict[str, Any]]:
    """Return the family of a pipeline and the content of its `model_index.json`.

    Args:
        source: the pipeline's folder or hub id.
        loading: holds the revision on the hub.

    Raises:
        ValueError: the index cannot be read, or its family is not supported.
    """
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
            f"Could not read the pipeline's index {index_file}; download or save the "
            "pipeline again."
        ) from error
    if kind not in FAMILIES:
        reason = UNSUPPORTED.get(kind, "which is not supported")
        raise ValueError(
            f"Expected one of {', '.join(FAMILIES)} at '{source}', found a {kind}, "
            f"{reason}; choose a model of one of these families."
        )
    return FAMILIES[kind], index


def _without(kind: str) -> dict[str, None]:
    """Return the components that a pipeline is loaded without, each as None."""
    if kind in ("StableDiffusionPipeline", "LatentConsistencyModelPipeline"):
        return {"safety_checker": None}
    return {}


def is_file(name: str) -> bool:
    """Return whether a name is that of a single `.safetensors` file."""
    return name.endswith(".safetensors")
