"""The options of `doodl test` and `doodl report`."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from typing_extensions import override

from doodl.evaluation.ratings import KEY
from doodl.parser_messages import keys_of, nearest


class _Parser(argparse.ArgumentParser):
    """Ends with one sentence instead of the usage."""

    @override
    def error(self, message: str) -> NoReturn:
        unknown = re.match("unrecognized arguments: (-[^ =]+|.+?(?= -|$))", message)
        if unknown:
            message = f"Expected options of `{self.prog}`, received {unknown[1]}"
            raise ValueError(f"{message}; {self._remedy(unknown[1])}")
        if message.endswith("required: FOLDER"):
            message = "Expected a folder of results after the command, received none"
        raise ValueError(f"{message}; see `{self.prog} --help`.")

    def _remedy(self, word: str) -> str:
        """Return what to write in place of an unknown option or a stray word."""
        if not word.startswith("-"):
            return "give folders after --results."
        known = keys_of(self)
        close = nearest(word.strip("-"), known | {"results"})
        if close == "did you mean --results?" and "results" not in known:
            return "give folders without an option."
        return close or f"see `{self.prog} --help`."


def test_parser() -> argparse.ArgumentParser:
    """Return the options of `doodl test`."""
    parser = _Parser("doodl test", description="Score and compare finished results.")
    _add_shared(parser)
    parser.add_argument(
        "--results", nargs="+", default=[], metavar="FOLDER", help="one folder a method"
    )
    parser.add_argument(
        "--output", metavar="FOLDER", help="of evaluation.csv and evaluation.md"
    )
    parser.add_argument(
        "--references", metavar="FOLDER", help="real pictures, for FID and KID"
    )
    parser.add_argument(
        "--features",
        metavar="NAME",
        help="of FID and KID: a CLIP, or 'inception' where its weights are there",
    )
    parser.add_argument(
        "--against", metavar="NAME", help="compare the others with this method only"
    )
    parser.add_argument("--lpips", metavar="NETWORK", help="alex, vgg or squeeze")
    parser.add_argument(
        "--ratings", nargs="+", default=[], metavar="FILE", help="exported answers"
    )
    parser.add_argument("--sheet", metavar="FILE", help=f"the sheet's {KEY}")
    return parser


def report_parser() -> argparse.ArgumentParser:
    """Return the options of `doodl report`."""
    parser = _Parser("doodl report", description="Write a page to look at results.")
    parser.add_argument("results", nargs="+", metavar="FOLDER", help="one a method")
    _add_shared(parser)
    parser.add_argument("--output", metavar="FOLDER", help="of the page")
    return parser


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clip",
        metavar="NAME",
        help="a CLIP that scores pictures and prompts, or 'none'; by default that of "
        "the shapes world for its results, and none for others",
    )
    parser.add_argument(
        "--verdict",
        metavar="CLASS",
        help="class path of a judge that names attributes; by default the results' own",
    )
    parser.add_argument(
        "--iterate",
        choices=("best", "last"),
        help="which picture of every method is its result: that with the highest guide "
        "score, or the last; by default the one that the method reports",
    )
    parser.add_argument(
        "--categories", metavar="FILE", help="CSV with the columns prompt and category"
    )
