"""The command `doodl`: assembly only."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import (
    MisconfigurationException,
    SIGTERMException,
)
from typing_extensions import override

from doodl.callbacks import EarlyStopping, ImageLogger, Multicrop, Progress, Results
from doodl.data import PromptsAndSeeds
from doodl.generation import GuidedGeneration
from doodl.precision import NetworkPrecision, weights_of
from doodl.strategy import independent

CONFIGS = Path(__file__).parent / "configs"
"""Where an installed package keeps them; `configs/` of a checkout otherwise."""
if not CONFIGS.is_dir():
    CONFIGS = Path(__file__).parents[2] / "configs"

PREDICT = CONFIGS / "predict.yaml"
CONFIG = ("--config", "-c")


class Parser(LightningArgumentParser):
    """Ends with one sentence instead of the usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong, and where to look, and exit."""
        message = re.sub(r'Parser key "([^"]+)"', r"--\1", message)
        fail(re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", message))


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
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="check the whole job and print what it will cost, then end (fit)",
        )
        parser.link_arguments("results.folder", "image_logger.folder")
        # Where the whole configuration is saved.
        parser.link_arguments("results.folder", "trainer.default_root_dir")

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        asked = self._get(self.config_init, "trainer", {})
        names = ("accelerator", "devices", "num_nodes", "strategy")
        ranks = independent(**{k: asked[k] for k in names if asked.get(k) is not None})
        if asked.get("precision") is not None:
            plugins = asked.get("plugins") or []
            plugins = plugins if isinstance(plugins, list) else [plugins]
            precision = NetworkPrecision(asked["precision"])
            ranks |= {"precision": None, "plugins": [*plugins, precision]}
        results = self._get(self.config_init, "results")
        results.settings = self.settings()
        return super().instantiate_trainer(**{**ranks, **kwargs})

    @override
    def _run_subcommand(self, subcommand: str) -> None:
        if not self._get(self.config, "dry_run"):
            super()._run_subcommand(subcommand)
            return
        if subcommand != "fit":
            raise ValueError(
                f"Expected --dry-run with `doodl fit`, received it with `doodl "
                f"{subcommand}`, which optimises nothing; leave it out."
            )
        from doodl import cost

        results = self._get(self.config_init, "results")
        results.archive.check({"command": subcommand, **results.settings})
        self.model.archive = results.archive
        trainer = self.trainer
        where = trainer.strategy.root_device, weights_of(trainer), trainer.world_size
        cost.report(cost.dry_run(self.model, self.datamodule, *where))

    def settings(self) -> dict[str, Any]:
        """Return what changes an image or its scores, of all that was configured."""
        config = self.config[self.subcommand]
        whole = yaml.safe_load(self._parser(self.subcommand).dump(config))
        # How networks are run changes an image by round-off at most.
        model = {k: v for k, v in whole["model"].items() if k != "execution"}
        keys = ("multicrop", "early_stopping")
        precision = {"precision": whole["trainer"].get("precision")}
        return {"model": model, **{k: whole[k] for k in keys}, "trainer": precision}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake ends with one sentence, not a traceback.

    Args:
        args: in place of the command line's.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")  # class paths of files where the command is run
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        arguments = packaged(sys.argv[1:] if args is None else args)
        configs = [str(path) for path in default_configs(arguments)]
        below = {
            "fit": {"default_config_files": configs},
            "predict": {"default_config_files": [*configs, str(PREDICT)]},
        }
        with warnings.catch_warnings(), requeue_as_stop():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.showwarning = _say
            cli = DoodlCLI(
                GuidedGeneration,
                PromptsAndSeeds,
                args=arguments,
                parser_class=Parser,
                parser_kwargs=below,
                save_config_kwargs={"overwrite": True},
            )
    except (ValueError, OSError, MisconfigurationException) as error:
        if os.environ.get("DOODL_TRACEBACK"):
            raise
        fail(str(error))
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    end(cli.trainer)


@contextmanager
def requeue_as_stop() -> Iterator[None]:
    """Let SLURM's warning before the time limit, SIGUSR1, be what SIGTERM is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(
        signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def end(trainer: Trainer) -> None:
    """Report of several processes; end with a sentence if generations failed."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Results) and trainer.is_global_zero:
            if trainer.world_size > 1:
                callback.report()
            rows = callback.rows()
            failed = [row["reason"] for row in rows if row["status"] == "failed"]
            if failed:
                reasons = "; ".join(dict.fromkeys(failed))
                fail(f"{len(failed)} of {len(rows)} generations failed: {reasons}.")


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
        if named and not Path(name).exists() and path.is_file():
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


def fail(message: str) -> NoReturn:
    """Print one sentence on stderr and exit with status 2."""
    print(f"doodl: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


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


def _say(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """Print a warning as a sentence, without the line of code."""
    print(f"doodl: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
