"""Checks of a command line that need neither PyTorch nor Lightning."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator, Sequence

from doodl.configuration import CONFIG, CONFIGS, default_configs, packaged
from doodl.files import named, readable
from doodl.jobs.checks import check_file, check_seeds, parse_seeds
from doodl.jobs.prompts import read_prompts

COMMANDS = ("fit", "predict")
"""Subcommands whose arguments are checked here."""
OTHER_COMMANDS = ("test", "report", "models")
HELP = {"--help", "-h", "--help-all"}
FLAGS = {*HELP, "--dry-run", "--dry_run", "--print_config", "--version"}
"""Options without a value."""
RANKS = {
    **dict.fromkeys(("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"), (0, 10**6)),
    **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), (1, 10**6)),
    **dict.fromkeys(("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"), (0, 10**6)),
    **dict.fromkeys(("SLURM_NTASKS", "SLURM_NNODES"), (1, 10**6)),
    "MASTER_PORT": (0, 65535),
}
"""Variables that launchers set to whole numbers, with the least and the most."""
QUICK = 2**20
"""Largest size in bytes of a prompts file that is checked here."""


def check_early(arguments: Sequence[str]) -> None:
    """Refuse wrong subcommands, stray words, missing files and impossible seeds.

    Args:
        arguments: arguments of the command line.

    Raises:
        ValueError: an argument is wrong.
    """
    if set(arguments) & HELP or any("print_conf" in a for a in arguments):
        return
    _command(arguments)
    _ranks()
    options = list(_options(arguments))
    _configs(options)
    default_configs(packaged(arguments))
    for name, value in options:
        if name == "--data.seeds" and not value.lstrip().startswith(("[", "{", "(")):
            check_seeds(parse_seeds(value))
        if name == "--data.prompts" and not value.lstrip().startswith(("[", "null")):
            check_file(value)
            if readable(value, "a file of prompts").stat().st_size <= QUICK:
                read_prompts(value)
    if sys.stderr.isatty():
        print("doodl: importing PyTorch ...", end="\r", file=sys.stderr, flush=True)


def _command(arguments: Sequence[str]) -> None:
    """Refuse a command line that does not begin with a subcommand."""
    first = arguments[0] if arguments else "nothing"
    if first in COMMANDS or first.partition("=")[0] in CONFIG:
        return
    if first.startswith("-"):
        for command in (*COMMANDS, *OTHER_COMMANDS):
            if command in arguments:
                raise ValueError(
                    f"Expected the subcommand before its settings, received '{first}' "
                    f"first; write `doodl {command} {first} ...`."
                )
    known = (*COMMANDS, *OTHER_COMMANDS)
    close = difflib.get_close_matches(first, known, 1, 0.5)
    hint = f"did you mean {close[0]}?" if close else "write `doodl fit`."
    raise ValueError(
        f"Expected the subcommand fit, predict, test, report or models, received "
        f"'{first}'; {hint}"
    )


def _ranks() -> None:
    """Refuse variables of a launcher that it cannot have set."""
    for name, (least, most) in RANKS.items():
        value = os.environ.get(name, str(least))
        if not (value.isdecimal() and least <= int(value) <= most):
            raise ValueError(
                f"Expected a whole number from {least} to {most} in the environment "
                f"variable {name}, received '{value}'; unset it, or let the launcher "
                "set it."
            )


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of each option; refuse words that belong to no option."""
    waiting: str | None = None
    last: str | None = None
    for argument in arguments:
        option = argument.startswith("--") or argument in CONFIG
        if option and not (waiting in CONFIG and argument.startswith("---")):
            if waiting is not None and waiting not in FLAGS:
                _refuse_missing(waiting)
            name, equals, value = argument.partition("=")
            waiting, last = (None, name) if equals else (name, name)
            if equals and name in ("--dry-run", "--dry_run"):
                _refuse_value(name, value)
            if equals:
                yield name, value
        elif waiting in ("--dry-run", "--dry_run"):
            _refuse_value(waiting, argument)
        elif waiting is not None:
            yield waiting, argument
            waiting = None
        elif argument not in COMMANDS:
            _refuse_stray(argument, last)
    if waiting is not None and waiting not in FLAGS:
        _refuse_missing(waiting)


def _refuse_missing(name: str) -> None:
    raise ValueError(f"Expected a value after {name}, received none; add it.")


def _refuse_value(name: str, value: str) -> None:
    raise ValueError(
        f"Expected no value after {name}, received '{value}'; leave it out."
    )


def _refuse_stray(word: str, last: str | None) -> None:
    if last == "--data.prompts" or last is None:
        raise ValueError(
            f"Expected every text in quotes, received '{word}' by itself; write "
            """--data.prompts '["a red ring"]', with the brackets and both quotes."""
        )
    raise ValueError(
        f"Expected one value after {last}, received '{word}' as well; put what belongs "
        "together in quotes."
    )


def _configs(options: Sequence[tuple[str, str]]) -> None:
    """Refuse missing configurations."""
    names = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    for option, name in options:
        if option not in CONFIG:
            continue
        path = named(name, "a config")
        if os.path.isfile(path) or os.path.isfile(CONFIGS / f"{name}.yaml"):
            continue
        close = difflib.get_close_matches(name, names, 1)
        hint = (
            f"did you mean {close[0]}?" if close else f"packaged: {', '.join(names)}."
        )
        found = "is not a file" if os.path.exists(path) else "does not exist"
        raise ValueError(f"Expected a config, received '{name}', which {found}; {hint}")
