"""Configuration files that supply the defaults of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parent / "configs"
"""Folder of the packaged configurations: in the package, or in a checkout."""
if not CONFIGS.is_dir():
    CONFIGS = Path(__file__).parents[2] / "configs"

CONFIG = ("--config", "-c")


def packaged(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which bare names of packaged configurations are paths.

    Only the argument after `--config` or `-c` is a configuration. A file in the current
    folder takes precedence over a packaged configuration of its name. With the embedded
    model, `NAME_shapes.yaml` is added after `NAME.yaml`.
    """
    expanded: list[str] = []
    shapes = model_of(arguments) == "shapes"
    for i, argument in enumerate(arguments):
        head, equals, name = argument.rpartition("=")
        named = head in CONFIG if equals else i > 0 and arguments[i - 1] in CONFIG
        path, small = CONFIGS / f"{name}.yaml", CONFIGS / f"{name}_shapes.yaml"
        if named and not Path(name).is_file() and path.is_file():
            expanded.append(f"{head}{equals}{path}")
            if shapes and small.is_file():
                expanded.append(f"--config={small}")
        else:
            expanded.append(argument)
    return expanded


def default_configs(arguments: Sequence[str]) -> list[Path]:
    """Return the configurations that the user's arguments override.

    `default.yaml` has the paper's values. With the embedded model, `shapes.yaml`
    follows it, because a small model needs other values.

    Raises:
        ValueError: a configuration in the arguments cannot be read.
    """
    shapes = model_of(arguments) == "shapes"
    names = ["default", "shapes"] if shapes else ["default"]
    return [CONFIGS / f"{name}.yaml" for name in names]


def model_of(arguments: Sequence[str]) -> str:
    """Return the model that the arguments select, by default the embedded one.

    Raises:
        ValueError: a configuration in the arguments cannot be read.
    """
    model = "shapes"
    for i, argument in enumerate(arguments):
        key, _, value = argument.partition("=")
        value = value or "".join(arguments[i + 1 : i + 2])
        if key == "--model.pretrained":
            model = value
        elif key in CONFIG:
            model = _model_in(Path(value)) or model
    return model


def _model_in(path: Path) -> str | None:
    """Return the model that a configuration names, or None."""
    if not path.is_file():
        return None  # the parser reports it, with the folders that it searched
    model = _read(path).get("model")
    return model.get("pretrained") if isinstance(model, dict) else None


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a configuration; unlike the parser's, errors name the file.

    Raises:
        ValueError: the file cannot be read, or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"Could not read the config '{path}': {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"Expected settings as 'key: value' in the config '{path}', found "
            f"{type(content).__name__}."
        )
    return content
