"""The files of one generation, and its row of the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

from doodl import images
from doodl.generation import Generation
from doodl.jobs.picture_text import picture_texts
from doodl.trajectory import Trajectory

PNG = b"\x89PNG\r\n\x1a\n"
"""First bytes of every PNG file."""
PNG_END = b"IEND\xaeB`\x82"
"""Last bytes of every PNG file."""


def picture_files(
    trajectory: Trajectory, index: int, settings: Mapping[str, Any], digest: str
) -> dict[str, bytes]:
    """Return the files of a generation's pictures and of the latents that make them.

    Args:
        trajectory: the record of its batch.
        index: of the generation in the batch.
        settings: the folder's settings, which the pictures carry as text.
        digest: a hash of these settings.
    """
    generation = trajectory.generations[index]
    snapshots = {
        "original": trajectory.first[index],
        "best": trajectory.best[index],
        "final": trajectory.last[index],
    }
    shots = {name: shot for name, shot in snapshots.items() if shot is not None}
    files = {}
    for name, shot in shots.items():
        texts = picture_texts(generation, shot, settings, digest)
        files[f"{name}.png"] = images.encode(shot.pixels, texts)
    latents = {
        name: shot.latents.clone()  # one snapshot may be both best and final
        for name, shot in shots.items()
        if name != "original" and shot.latents is not None
    }
    return {**files, "latents.safetensors": save(latents)} if latents else files


def summary(trajectory: Trajectory, index: int, status: str) -> dict[str, Any]:
    """Return a generation's row of the manifest."""
    generation = trajectory.generations[index]
    first, best = trajectory.first[index], trajectory.best[index]
    last = trajectory.last[index]
    failure, reason = trajectory.failures[index], trajectory.reasons[index]
    return {
        "id": generation.id,
        "prompt": generation.prompt,
        "seed": generation.seed,
        "status": "failed" if failure else "stopped" if reason else status,
        "updates": last.update if last else 0,
        "guide_first": first.guide if first else None,
        "guide_best": best.guide if best else None,
        "judge_first": first.judge if first else None,
        "judge_best": best.judge if best else None,
        "verdict_first": first.verdict if first else None,
        "verdict_best": best.verdict if best else None,
        "selector": trajectory.selector,
        "folder": generation.id,
        "reason": failure or reason,
        "calls": last.calls[0] if last else 0,
        "gradient_calls": last.calls[1] if last else 0,
        **_asked(generation),
        **({"image_digest": digest} if (digest := image_digest(generation)) else {}),
    }


def image_digest(generation: Generation) -> str | None:
    """Return a hash of the content of a generation's picture; None without one."""
    if generation.image is None:
        return None
    try:
        content = images.located(generation.image).read_bytes()
    except OSError:  # removed since; a job that needs it refuses to start
        return None
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _asked(generation: Generation) -> dict[str, str]:
    """Return what was asked for besides prompt and seed, where it was."""
    names = ("negative_prompt", "guide_prompt", "target", "image")
    return {n: value for n in names if (value := getattr(generation, n))}


def is_whole(path: Path) -> bool:
    """Return whether a file has content, and a picture or tensors an end."""
    try:
        if not path.is_file():  # missing, or a folder or a pipe
            return False
    except OSError:  # a name that no file can have
        return False
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(max(size - len(PNG_END), 0))
        end = file.read()
    if path.suffix == ".png":
        return start == PNG and end == PNG_END
    if path.suffix == ".safetensors":  # begins with the length of its header
        return 8 + int.from_bytes(start, "little") < size
    return size > 0
