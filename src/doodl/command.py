"""`doodl fit` and `doodl predict`, assembled from module, data and callbacks."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from typing_extensions import override

from doodl.callbacks import EarlyStopping, ImageLogger, Multicrop, Progress, Results
from doodl.configuration import CONFIGS, bare, default_configs, packaged
from doodl.exits import NothingMade, fail, remember_folder, say, wants_traceback
from doodl.guided_generation import GuidedGeneration
from doodl.guides.process import unchanged
from doodl.help import FullHelp, command_help
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.saved_config import SavedConfig
from doodl.jobs.signals import requeue_as_stop
from doodl.jobs.strategy import independent
from doodl.jobs.trainer_settings import refuse_meaningless_settings, time_is_up
from doodl.parser_classes import refuse_unset
from doodl.parser_files import check_inline, limited_files
from doodl.parser_messages import sentence
from doodl.precision import NetworkPrecision
from doodl.terminal import quiet_lightning

PREDICT = CONFIGS / "predict.yaml"


class Parser(LightningArgumentParser):
    """Argument parser that reports an error in one sentence, without the usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the translated error message and exit."""
        if not self.exit_on_error:  # of a class within a value
            super().error(message, ex)
        if wants_traceback() and ex is not None:
            raise ex
        fail(sentence(message, self))

    @override
    def format_help(self, *args: Any) -> str:
        """Return a short help of the command and its subcommands."""
        return command_help(self) or self.full_help()

    def full_help(self) -> str:
        """Return all options, as jsonargparse lists them."""
        return super().format_help()


class DoodlCLI(LightningCLI):
    """Command line with two subcommands: `fit` optimises, `predict` only samples.

    `doodl test`, `doodl report` and `doodl models` need no Trainer; `doodl.cli` runs
    them by itself.
    """

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
            help="check the whole job, print its estimated cost and exit (fit only)",
        )
        parser.add_argument("--help-all", action=FullHelp)
        parser.link_arguments("results.folder", "image_logger.folder")
        home = os.path.expanduser
        # LightningCLI saves the whole configuration in the default root directory.
        parser.link_arguments("results.folder", "trainer.default_root_dir", home)
        parser.link_arguments(
            "results.folder", "trainer.logger.init_args.save_dir", home
        )

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        with unchanged("the file of a class"):
            super().parse_arguments(parser, args)
        refuse_unset(self.config)

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        asked = self._get(self.config_init, "trainer", {})
        refuse_meaningless_settings(asked)
        names = ("accelerator", "devices", "num_nodes", "strategy")
        given = {k: asked[k] for k in names if asked.get(k) is not None}
        try:
            ranks = independent(**given)
        except TypeError as error:  # the number of devices is not a number
            raise ValueError(str(error)) from error
        if asked.get("enable_progress_bar") is False:
            self._parser(self.subcommand).callback_keys.remove("progress")
        if asked.get("precision") is not None:
            plugins = asked.get("plugins") or []
            plugins = plugins if isinstance(plugins, list) else [plugins]
            precision = NetworkPrecision(asked["precision"])
            ranks |= {"precision": None, "plugins": [*plugins, precision]}
        trainer = super().instantiate_trainer(**{**ranks, **kwargs})
        for kind in (Results, ImageLogger):
            if sum(isinstance(c, kind) for c in trainer.callbacks) > 1:  # type: ignore[attr-defined]
                raise ValueError(
                    f"Expected one callback {kind.__name__}, received several; leave "
                    "the others out of --trainer.callbacks."
                )
        return trainer

    @override
    def _run_subcommand(self, subcommand: str) -> None:
        if subcommand == "fit" and self._get(self.config, "model.baseline"):
            raise ValueError(
                "Expected --model.baseline with `doodl predict`, received it with "
                "`doodl fit`, which optimises; write predict, or leave it out."
            )
        dry = self._get(self.config, "dry_run")
        if not isinstance(dry, bool):  # of a configuration; options need no value
            raise ValueError(
                f"Expected true or false for dry_run, received {dry!r:.60}."
            )
        if not dry:
            try:
                super()._run_subcommand(subcommand)
                end(self.trainer)
            except (Exception, SystemExit) as error:
                self._remember_folder(error)
                raise
            return
        if subcommand != "fit":
            raise ValueError(
                f"Expected --dry-run with `doodl fit`, received it with `doodl "
                f"{subcommand}`, which optimises nothing; leave it out."
            )
        from doodl.jobs.dry_run import dry_run, print_cost
        from doodl.jobs.preflight import preflight, rehearse_guides

        if not self.trainer.is_global_zero:  # one table for all processes
            return
        preflight(self.model, self.model.settings, self.trainer, self.datamodule)
        rehearse_guides(self.model, self.trainer, self.datamodule)
        print_cost(dry_run(self.model, self.datamodule, self.trainer))

    def _remember_folder(self, error: BaseException) -> None:
        """Attach the results folder to an error if this job has opened the folder."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Results) and callback.generations:
                remember_folder(error, callback.folder)


def run(arguments: Sequence[str]) -> None:
    """Run `fit` or `predict`; every error is raised to the caller.

    Args:
        arguments: arguments of the command line.

    Raises:
        NothingMade: generations failed, or none was made.
    """
    if "" not in sys.path:
        # Class paths may name files in the current folder. It comes last, since a file
        # may also have the name of a library.
        sys.path.append("")
    fast = bare(arguments)
    if fast:
        arguments = [*arguments[:1], "--config", "fast", *arguments[1:]]
    arguments = packaged(arguments)
    configs = [str(path) for path in default_configs(arguments)]
    below = {
        "fit": {"default_config_files": configs},
        "predict": {"default_config_files": [*configs, str(PREDICT)]},
    }
    check_inline(arguments)
    with quiet_lightning(), requeue_as_stop(), limited_files():
        warnings.showwarning = _say
        command = DoodlCLI(
            GuidedGeneration,
            PromptsAndSeeds,
            args=arguments,
            parser_class=Parser,
            parser_kwargs=below,
            save_config_callback=SavedConfig,
            save_config_kwargs={"save_to_log_dir": False},
            auto_configure_optimizers=False,
        )
    if fast and command.trainer.is_global_zero:
        print("Settings: configs/fast.yaml; --config paper is the paper's algorithm")


def end(trainer: Trainer) -> None:
    """Print the report of several processes; raise if any generation has failed.

    Raises:
        NothingMade: generations failed, or none was made.
    """
    results = [c for c in trainer.callbacks if isinstance(c, Results)]  # type: ignore[attr-defined]
    if not (results and trainer.is_global_zero):
        return
    callback = results[0]
    if trainer.world_size > 1:
        callback.report()
    rows = callback.rows()
    failed = [row["reason"] for row in rows if row["status"] == "failed"]
    if failed:
        reasons = "; ".join(dict.fromkeys(failed))
        raise NothingMade(
            f"{len(failed)} of {len(rows)} generations failed: {reasons}."
        )
    total = len(callback.generations)
    if not rows:
        raise NothingMade(
            f"None of {total} generations was made; what was begun is saved, and the "
            "same command goes on with it."
        )
    # Ranks that a launcher has started, on other machines too, may still be working.
    alone = trainer.world_size == 1
    if alone and len(rows) < total and not time_is_up(trainer):
        raise NothingMade(
            f"{total - len(rows)} of {total} generations were not made, since a "
            "callback or a rule has ended the job, by trainer.should_stop or "
            "StopIteration; correct it, and give the same command again."
        )


def _say(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """Print a warning on stderr, without the file and line that raised it."""
    say(message)
