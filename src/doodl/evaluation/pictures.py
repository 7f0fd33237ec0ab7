"""The report's copies of pictures: thumbnails, and films of all updates."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

from doodl.evaluation.layouts import Result
from doodl.files import write

SMALL = 256
"""Pictures with longer sides have a thumbnail of this size."""
MOST_FRAMES = 64
"""Updates of a film at most, evenly spaced."""
Film = Mapping[str, Any]


def copied(path: Path | None, folder: Path) -> list[str] | None:
    """Copy a picture as thumbnail and for a closer look; return both names.

    Args:
        path: of the picture; None returns None.
        folder: of the copies. Names are digests, so that they do not tell a method.
    """
    if path is None:
        return None
    content = path.read_bytes()
    name = hashlib.blake2b(content, digest_size=8).hexdigest()
    with Image.open(path) as picture:
        if max(picture.size) <= SMALL:
            if not (folder / f"{name}.png").is_file():
                write(folder / f"{name}.png", content)
            return [f"{name}.png"] * 2
        small, large = folder / f"{name}-s.webp", folder / f"{name}.webp"
        if not large.is_file():
            shown = picture.convert("RGB")
            shown.save(large, quality=90)
            shown.thumbnail((SMALL, SMALL))
            shown.save(small, quality=80)
    return [small.name, large.name]


def film(result: Result, folder: Path) -> Film | None:
    """Copy the pictures of all updates as one sheet; return what the page needs.

    Args:
        result: with an animation of its updates; without one None is returned.
        folder: of the sheet.

    Returns:
        `sheet`, its file name, `columns` and `rows` of the sheet, `aspect` of a frame,
        width over height, and for each frame its number of updates and its scores, as
        `updates`, `guide` and `judge`.
    """
    if result.animation is None:
        return None
    with Image.open(result.animation) as animation:
        count = getattr(animation, "n_frames", 1)
        if count < 2:
            return None
        step = math.ceil(count / MOST_FRAMES)
        # The last update is always shown.
        kept = sorted({*range(0, count, step), count - 1})
        columns = math.ceil(math.sqrt(len(kept)))
        rows = math.ceil(len(kept) / columns)
        name = hashlib.blake2b(result.animation.read_bytes(), digest_size=8)
        path = folder / f"{name.hexdigest()}-u.webp"
        if not path.is_file():
            _write_sheet(animation, kept, (columns, rows), path)
    lines = _scores(result)
    return {
        "sheet": path.name,
        "columns": columns,
        "rows": rows,
        "aspect": animation.width / animation.height,
        "updates": kept,
        **{k: [lines.get(u, {}).get(k) for u in kept] for k in ("guide", "judge")},
    }


def _write_sheet(
    animation: Image.Image, kept: list[int], size: tuple[int, int], path: Path
) -> None:
    """Write frames row by row, as thumbnails if they are large."""
    sheet, side = None, (0, 0)
    for number, frame in enumerate(ImageSequence.Iterator(animation)):
        if number not in kept:
            continue
        shown = frame.convert("RGB")
        shown.thumbnail((SMALL, SMALL))
        if sheet is None:
            side = shown.size
            sheet = Image.new("RGB", (side[0] * size[0], side[1] * size[1]))
        row, column = divmod(kept.index(number), size[0])
        sheet.paste(shown, (column * side[0], row * side[1]))
    if sheet is not None:
        sheet.save(path, lossless=max(side) <= 64, quality=85)


def _scores(result: Result) -> dict[int, dict[str, float]]:
    """Return the recorded scores of each update."""
    if result.metrics is None:
        return {}
    lines = filter(None, result.metrics.read_text().splitlines())
    return {int(line["update"]): line for line in map(json.loads, lines)}
