"""Resolves the name of a network: a folder, a hub id, or one of the shapes world."""

from __future__ import annotations

import difflib
from pathlib import Path

SHAPES = Path(__file__).parents[1] / "shapes" / "weights"
"""Weights in this package: `shapes` is the pipeline, `shapes/NAME` another network."""


def locate(name: str, marker: str) -> str:
    """Return the local folder of a network, or the name itself if it is a hub id.

    Args:
        name: `shapes`, `shapes/NAME`, a local folder, or a hub id.
        marker: file that the folder has to contain, as `model_index.json`.

    Raises:
        ValueError: the name is that of a local folder which does not exist or does not
            contain `marker`, or of a shapes network that does not exist, or no possible
            name of a model.
    """
    if name == "shapes" or name.startswith("shapes/"):
        folder = SHAPES / (name.partition("/")[2] or "pipeline")
        if not (folder / marker).is_file():
            known = sorted(p.name for p in SHAPES.iterdir() if p.is_dir())
            raise ValueError(
                f"The shapes world has no network '{name}'; choose one of "
                f"{', '.join(f'shapes/{n}' for n in known)}."
            )
        return str(folder)
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:  # `~` of a user who does not exist
        raise ValueError(f"Could not find a model at '{name}': {error}") from error
    if marker == "model_index.json" and "/" not in name and not path.exists():
        close = difflib.get_close_matches(name, ["shapes"], 1, 0.5)
        hint = (
            "did you mean shapes?" if close else "hub ids have the form 'owner/name'."
        )
        raise ValueError(
            f"Expected 'shapes', a folder or a hub id as the model, received '{name}'; "
            f"{hint}"
        )
    local = path.exists() or name.count("/") > 1 or name.startswith((".", "/", "~"))
    if local and not (path / marker).is_file():
        raise ValueError(
            f"Expected a folder with a {marker} at '{name}', found "
            f"{'none there' if path.is_dir() else 'no such folder'}; "
            "give a folder saved with save_pretrained, or a hub id as 'owner/name'."
        )
    return str(path) if local else name
