"""Configuration files that supply the defaults of a command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from doodl.files import named, read
from doodl.parser_files import MOST_BYTES, settings_in

CONFIGS = Path(__file__).parent / "configs"
"""Folder of the packaged configurations: in the package, or in a checkout."""
if not CONFIGS.is_dir():
    CONFIGS = Path(__file__).parents[2] / "configs"

CONFIG = ("--config", "-c")
GROUPS = {"model", "data", "trainer", "results", "multicrop", "progress"}
GROUPS |= {"early_stopping", "image_logger"}
"""Keys of a configuration that have settings below them, or name a file of them."""


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
        before = head if equals else arguments[i - 1] if i else ""
        is_config = before in CONFIG
        if is_config and name.startswith("~"):
            name = str(named(name, "a config"))
            argument = f"{head}{equals}{name}"
        path, small = CONFIGS / f"{name}.yaml", CONFIGS / f"{name}_shapes.yaml"
        if is_config and not os.path.isfile(name) and os.path.isfile(path):
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


def bare(arguments: Sequence[str]) -> bool:
    """Return whether arguments choose no configuration, and no setting of the model.

    The embedded model then has the settings of `fast.yaml`.
    """
    heads = [argument.partition("=")[0] for argument in arguments]
    chosen = (*CONFIG, "--model")
    return not any(h in chosen or h.startswith("--model.") for h in heads)


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
        elif key == "--model":
            given = _inline(value) if value.lstrip().startswith("{") else value
            model = _pretrained(given, Path()) or model
        elif key in CONFIG:
            model = _model_in(Path(value)) or model
    return model


def _model_in(path: Path) -> str | None:
    """Return the model that a configuration names, or None."""
    path = named(path, "a config")
    if not os.path.exists(path) or path.is_dir():
        return None  # a packaged configuration, or `check_early` refuses it
    model: str | None = None
    content = _read(path)
    for level in (content, content.get("fit"), content.get("predict")):
        if isinstance(level, dict):  # of the subcommand, above the file's own
            model = _pretrained(level.get("model"), path.parent) or model
            model = level.get("model.pretrained") or model
    return model


def _inline(text: str) -> Any:
    """Return the settings of a text as `{"pretrained": "..."}`; None if it has none."""
    try:
        return settings_in(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        return None  # the parser refuses it


def _pretrained(model: Any, folder: Path) -> str | None:
    """Return the model among settings of the group `model`, or in a file of them.

    Args:
        model: settings, or the path of a file relative to `folder`.
        folder: of the configuration that names the file.
    """
    if isinstance(model, str) and model.endswith((".yaml", ".yml")):
        path = folder / Path(model).expanduser()
        model = _read(path) if path.is_file() else None
    return model.get("pretrained") if isinstance(model, dict) else None


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a configuration; unlike the parser's, errors name the file.

    Raises:
        ValueError: the file cannot be read, is not a mapping, repeats a key, or has
            too many aliases.
    """
    content = read(path, "a config", MOST_BYTES)
    try:
        values = settings_in(content.decode("utf-8"))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"Could not read the config '{path}': {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(
            f"Expected settings as 'key: value' in the config '{path}', found "
            f"{type(values).__name__}."
        )
    for key in GROUPS & values.keys():
        if not isinstance(values[key], (dict, str, type(None))):
            raise ValueError(
                f"Expected settings as 'key: value' below '{key}' in the config "
                f"'{path}', found {values[key]!r}."
            )
    return values
