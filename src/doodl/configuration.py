"""Which configuration files stand below what the command line gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parent / "configs"
"""Where an installed package keeps them; `configs/` of a checkout otherwise."""
if not CONFIGS.is_dir():
    CONFIGS = Path(__file__).parents[2] / "configs"

CONFIG = ("--config", "-c")


def packaged(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which a packaged configuration's bare name is its path.

    Only what follows `--config` or `-c` is a configuration, and a file of the current
    folder goes before a packaged one. `NAME_shapes.yaml` follows `NAME.yaml` as long as
    the model is the embedded one.
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
    """Return the configurations that stand below what the user gives.

    `default.yaml` has the paper's values. As long as the model is the embedded one,
    `shapes.yaml` follows it, since a small world needs other values.

    Raises:
        ValueError: a configuration that the user gives cannot be read.
    """
    shapes = model_of(arguments) == "shapes"
    names = ["default", "shapes"] if shapes else ["default"]
    return [CONFIGS / f"{name}.yaml" for name in names]


def model_of(arguments: Sequence[str]) -> str:
    """Return the model that the arguments ask for, by default the embedded one.

    Raises:
        ValueError: a configuration that the user gives cannot be read.
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
    """Return the model that a configuration names, if it is there and names one."""
    if not path.is_file():
        return None  # said by the parser, which also knows where it looked
    model = _read(path).get("model")
    return model.get("pretrained") if isinstance(model, dict) else None


def _read(path: Path) -> dict[str, Any]:
    """Return what a configuration says; unlike the parser's, its errors name the file.

    Raises:
        ValueError: it cannot be read, or is no mapping.
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
