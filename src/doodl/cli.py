"""The command `doodl`: early checks, then the subcommand.

Importing PyTorch and Lightning takes several seconds, so that whatever can be refused
without them is refused first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from doodl.early_checks import check_early
from doodl.exits import exit_in_one_sentence
from doodl.terminal import forgiving_output
from doodl.version import __version__


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; report every error in one sentence with an exit code.

    Args:
        args: arguments that replace those of the command line.

    Raises:
        SystemExit: with an exit code of `doodl.exits`, unless the command succeeded.
    """
    given = list(sys.argv[1:] if args is None else args)
    with forgiving_output(), exit_in_one_sentence():
        if given[:1] == ["--version"]:
            print(f"doodl {__version__}")
            return
        _check_working_folder()
        if given[:1] == ["models"]:
            _print_models(given[1:])
        elif given[:1] in (["test"], ["report"]):
            from doodl.evaluation.command import run as evaluate

            evaluate(given)
        else:
            check_early(given)
            from doodl.command import run

            run(given)


def _check_working_folder() -> None:
    """Refuse to run where the working folder was deleted: PyTorch would abort."""
    try:
        os.getcwd()
    except OSError:
        raise ValueError(
            "Expected a working folder, received one that was deleted; go to one that "
            "exists, as with `cd`."
        ) from None


def _print_models(more: Sequence[str]) -> None:
    """Print the supported model families."""
    if more and not set(more) & {"--help", "-h"}:
        raise ValueError(
            f"Expected no argument after `doodl models`, received '{more[0]}'; "
            "leave it out."
        )
    from doodl.pretrained import models_table

    print(models_table())


if __name__ == "__main__":
    main()
