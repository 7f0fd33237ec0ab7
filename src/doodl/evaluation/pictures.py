"""The report's copies of pictures: thumbnails, and films of all updates."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

from doodl.evaluation.cells import known
from doodl.evaluation.favourites import reported
from doodl.evaluation.layouts import Result
from doodl.evaluation.records import opened
from doodl.files import read, write
from doodl.images import encode, load, located, to_pil

SMALL = 256
"""Pictures with longer sides have a thumbnail of this size."""
LONGEST = 16383
"""Longest side of a WebP file."""
MOST_FRAMES = 64
"""Updates of a film at most, evenly spaced, besides the last and the chosen one."""
Film = Mapping[str, Any]


def copied(path: Path | None, folder: Path) -> list[str] | None:
    """Copy a picture as thumbnail and for a closer look; return both names.

    Copies have pixels only, and digests of these as names: neither tells a method.

    Args:
        path: of the picture; None returns None.
        folder: of the copies.

    Raises:
        ValueError: the picture is damaged.
    """
    if path is None:
        return None
    pixels = load(path)  # without the texts of the file
    picture = to_pil(pixels)
    content = repr(picture.size).encode() + picture.tobytes()
    name = hashlib.blake2b(content, digest_size=8).hexdigest()
    if max(picture.size) <= SMALL:
        if not _there(folder / f"{name}.png"):
            write(folder / f"{name}.png", encode(pixels))
        return [f"{name}.png"] * 2
    small, large = folder / f"{name}-s.webp", folder / f"{name}.webp"
    if not (_there(small) and _there(large)):
        picture.thumbnail((LONGEST, LONGEST))
        content = _webp(picture, quality=90)
        picture.thumbnail((SMALL, SMALL))
        write(small, _webp(picture, quality=80))
        write(large, content)
    return [small.name, large.name]


def given(result: Result, folder: Path) -> str | None:
    """Copy the picture that was given with a prompt; return the copy's name.

    It is None without one, and where the file is no longer the same.

    Args:
        result: of the prompt.
        folder: of the copy.
    """
    if result.image is None:
        return None
    digest = result.row.get("image_digest")
    try:
        path = located(result.image)
        content = read(path, "a picture")
        if digest in (None, "", hashlib.blake2b(content, digest_size=8).hexdigest()):
            copies = copied(path, folder)
            return copies[-1] if copies else None
    except ValueError:
        pass
    return None


def _there(path: Path) -> bool:
    """Return whether a copy exists; one of an interrupted command may be empty."""
    return path.is_file() and path.stat().st_size > 0


def _webp(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", **options)
    return buffer.getvalue()


def film(result: Result, folder: Path) -> Film | None:
    """Copy the pictures of all updates as one sheet; return what the page needs.

    Args:
        result: with an animation of its updates; without one, or with a damaged one,
            None is returned.
        folder: of the sheet.

    Returns:
        `sheet`, its file name, `columns` and `rows` of the sheet, `aspect` of a frame,
        width over height, and for each frame its number of updates and its scores, as
        `updates`, `guide` and `judge`; `chosen`, the number of the frame that is the
        result, or None where no scores are recorded.
    """
    if result.animation is None:
        return None
    record = reported(result)
    chosen = record[-1][1]["update"] if record else None
    try:
        with opened(result.animation) as animation:
            drawn = _sheet(animation, result.animation, folder, chosen)
    except ValueError:
        return None
    lines = {line["update"]: line for line, _ in record}
    scores = {
        name: [known(lines.get(update, {}).get(name)) for update in drawn["updates"]]
        for name in ("guide", "judge")
    }
    if len(drawn["updates"]) < 2:
        return None
    there = chosen in drawn["updates"]
    return {
        **drawn,
        **scores,
        "chosen": drawn["updates"].index(chosen) if there else None,
    }


def _sheet(
    animation: Image.Image, path: Path, folder: Path, chosen: int | None
) -> Film:
    """Write the sheet of an animation, and return what the page needs of it."""
    count = getattr(animation, "n_frames", 1)
    step = math.ceil(count / MOST_FRAMES)
    # The last update and the chosen one are always shown.
    kept = sorted({*range(0, count, step), count - 1, chosen or 0} & {*range(count)})
    columns = math.ceil(math.sqrt(len(kept)))
    rows = math.ceil(len(kept) / columns)
    content = path.read_bytes() + repr(kept).encode()
    name = hashlib.blake2b(content, digest_size=8).hexdigest()
    sheet = folder / f"{name}-u.webp"
    if count > 1 and not _there(sheet):
        _write_frames(animation, kept, (columns, rows), sheet)
    return {
        "sheet": sheet.name,
        "columns": columns,
        "rows": rows,
        "aspect": animation.width / animation.height,
        "updates": kept,
    }


def _write_frames(
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
        write(path, _webp(sheet, lossless=max(side) <= 64, quality=85))
