"""The texts in a picture's file, which say how the picture was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from doodl.generation import Generation
from doodl.trajectory import Snapshot
from doodl.version import __version__


def picture_texts(
    generation: Generation, shot: Snapshot, settings: Mapping[str, Any], digest: str
) -> dict[str, str]:
    """Return the text chunks of a picture's PNG file.

    The chunk `parameters` has the layout of AUTOMATIC1111's web UI, which ComfyUI and
    most viewers read as well; `doodl` has our own values as JSON. There is no chunk
    `prompt`, because ComfyUI expects a workflow in it.

    Args:
        generation: the prompt, the seed and what belongs to them.
        shot: the picture.
        settings: the settings of the results folder (see `doodl.jobs.identity`).
        digest: a hash of these settings.
    """
    software = f"doodl {__version__}"
    ours = {
        "prompt": generation.prompt,
        "negative_prompt": generation.negative_prompt,
        "seed": generation.seed,
        "update": shot.update,
        "settings": digest,
        "software": software,
    }
    return {
        "parameters": parameters(generation, shot, settings),
        "doodl": json.dumps(ours, ensure_ascii=False),
        "Software": software,
    }


def parameters(
    generation: Generation, shot: Snapshot, settings: Mapping[str, Any]
) -> str:
    """Return prompt, negative prompt and settings, as A1111's readers expect them.

    The negative prompt has its line even if it is empty, since ComfyUI looks for it.
    """
    model = settings.get("model", {})
    _, height, width = shot.pixels.shape
    values = {
        "Steps": model.get("num_steps"),
        "Sampler": _class_name(model.get("method")),
        "CFG scale": model.get("guidance_scale"),
        "Seed": generation.seed,
        "Size": f"{width}x{height}",
        "Model": model.get("pretrained"),
        "Guide": _class_name(model.get("guide")),
        "Updates": shot.update,
        "Version": f"doodl {__version__}",
    }
    known = ", ".join(f"{k}: {_quoted(v)}" for k, v in values.items() if v is not None)
    return (
        f"{_one_paragraph(generation.prompt)}\n"
        f"Negative prompt: {_one_paragraph(generation.negative_prompt)}\n{known}"
    )


def _class_name(described: Any) -> str | None:
    """Return the class of a described object (see `doodl.description`)."""
    if isinstance(described, Mapping):
        described = described.get("class_path")
    return described.rpartition(".")[2] if isinstance(described, str) else None


def _one_paragraph(text: str) -> str:
    return " ".join(text.split())


def _quoted(value: Any) -> str:
    """Return a value as text, in quotes where it has the layout's own characters."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if set(text) & set(',:\n"') else text
