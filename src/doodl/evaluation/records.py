"""The files of one generation, any of which may be damaged."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from doodl.images import FORMATS

WRONG = (ValueError, TypeError, KeyError)
REMEDY = "delete the folder of this generation and run the command that made it again"


def unreadable(path: Path) -> ValueError:
    """Return the error of a file that is there, and not for this user."""
    return ValueError(
        f"Expected a file that this user may read, received '{path}'; change its "
        "permissions, as with chmod."
    )


def updates(path: Path | None) -> list[dict[str, Any]]:
    """Return the recorded scores, one dict an update; none without a file.

    Args:
        path: of `metrics.jsonl`, or None.

    Raises:
        ValueError: the file is damaged.
    """
    if path is None:
        return []
    try:
        lines = filter(None, path.read_text(encoding="utf-8").splitlines())
        return [
            line | {"update": int(line["update"])} for line in map(json.loads, lines)
        ]
    except PermissionError as error:
        raise unreadable(path) from error
    except (OSError, ArithmeticError, RecursionError, *WRONG) as error:
        raise ValueError(
            f"Expected scores of updates in '{path}', found a damaged file; {REMEDY}."
        ) from error


def latents(path: Path, name: str) -> Tensor | None:
    """Return the initial latents (k, C, h, w) of a picture, None without them.

    Args:
        path: of `latents.safetensors`.
        name: of the picture, `best` or `final`.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()  # it is no dict
            return file.get_tensor(name) if name in names else None
    except PermissionError as error:
        raise unreadable(path) from error
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"Expected latents in '{path}', found a damaged file; {REMEDY}."
        ) from error


def size_of(path: Path) -> tuple[int, int]:
    """Return the width and height of a picture, whose file is complete.

    Raises:
        ValueError: the file is no picture, or damaged.
    """
    with opened(path) as file:
        # The check of a PNG's sums is fast; other formats show what lacks when read.
        file.verify() if file.format == "PNG" else file.load()
        return file.size


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture, whose pixels are read only if the block asks for them.

    Raises:
        ValueError: the file is no picture, damaged, or larger than Pillow reads.
    """
    try:
        with Image.open(path, formats=FORMATS) as file:
            yield file
    except PermissionError as error:
        raise unreadable(path) from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"Expected a picture of a usual size in '{path}', received one that may "
            f"exhaust the memory: {error}; scale it down."
        ) from error
    except Exception as error:  # Pillow raises many kinds for broken files
        raise ValueError(
            f"Expected a picture in '{path}', found a damaged file or none of "
            f"{', '.join(FORMATS)}; replace or delete it."
        ) from error
