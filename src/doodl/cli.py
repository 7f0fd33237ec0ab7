"""The command `doodl`: assembly only."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from typing_extensions import override

from doodl.callbacks import EarlyStopping, ImageLogger, Multicrop, Progress, Results
from doodl.data import PromptsAndSeeds
from doodl.generation import GuidedGeneration

CONFIGS = Path(__file__).parent / "configs"
"""Where an installed package keeps them; `configs/` of a checkout otherwise."""
if not CONFIGS.is_dir():
    CONFIGS = Path(__file__).parents[2] / "configs"


class Parser(LightningArgumentParser):
    """Ends with one sentence instead of the usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong, and where to look, and exit."""
        fail(" ".join(message.split()))


class DoodlCLI(LightningCLI):
    """`doodl fit` optimises, `doodl predict` only samples."""

    @staticmethod
    @override
    def subcommands() -> dict[str, set[str]]:
        skipped = {"model", "train_dataloaders", "val_dataloaders", "datamodule"}
        skipped |= {"dataloaders", "return_predictions", "ckpt_path", "weights_only"}
        return {"fit": skipped, "predict": skipped}

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(Multicrop, "multicrop")
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.add_lightning_class_args(ImageLogger, "image_logger")
        parser.add_lightning_class_args(Results, "results")
        parser.add_lightning_class_args(Progress, "progress")
        parser.link_arguments("results.folder", "image_logger.folder")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake ends with one sentence, not a traceback.

    Args:
        args: in place of the command line's.
    """
    arguments = [packaged(a) for a in (sys.argv[1:] if args is None else args)]
    sys.argv = [sys.argv[0], *arguments]
    if "" not in sys.path:
        sys.path.insert(0, "")  # class paths of files where the command is run
    warnings.filterwarnings("ignore", module="lightning")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.showwarning = _say
    defaults = {"default_config_files": [str(p) for p in default_configs(arguments)]}
    try:
        DoodlCLI(
            GuidedGeneration,
            PromptsAndSeeds,
            parser_class=Parser,
            parser_kwargs={"fit": defaults, "predict": defaults},
            save_config_kwargs={"overwrite": True},
        )
    except (ValueError, OSError) as error:
        if os.environ.get("DOODL_TRACEBACK"):
            raise
        fail(str(error))


def packaged(argument: str) -> str:
    """Return the path of a packaged configuration for its bare name, else as it is."""
    head, equals, name = argument.rpartition("=")
    path = CONFIGS / f"{name}.yaml"
    bare = name and "/" not in name and not Path(name).exists()
    if head in ("", "--config", "-c") and bare and path.is_file():
        return f"{head}{equals}{path}"
    return argument


def default_configs(arguments: Sequence[str]) -> list[Path]:
    """Return the configurations that stand below what the user gives.

    `default.yaml` has the paper's values. As long as the model is the embedded one,
    `shapes.yaml` follows it, since a small world needs other values.
    """
    model = "shapes"
    for i, argument in enumerate(arguments):
        key, _, value = argument.partition("=")
        value = value or "".join(arguments[i + 1 : i + 2])
        if key == "--model.pretrained":
            model = value
        elif key in ("--config", "-c"):
            model = _model_of(Path(value)) or model
    names = ["default", "shapes"] if model == "shapes" else ["default"]
    return [CONFIGS / f"{name}.yaml" for name in names]


def fail(message: str) -> NoReturn:
    """Print one sentence on stderr and exit with status 2."""
    print(f"doodl: {message}", file=sys.stderr)
    raise SystemExit(2)


def _model_of(path: Path) -> str | None:
    """Return the model that a configuration names, if it is there to be read."""
    try:
        content: Any = yaml.safe_load(path.read_text())
        return content["model"]["pretrained"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return None


def _say(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """Print a warning as a sentence, without the line of code."""
    print(f"doodl: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
