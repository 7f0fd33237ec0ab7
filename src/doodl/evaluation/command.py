"""`doodl test` and `doodl report`: from folders of results to tables and a page."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from typing_extensions import override

from doodl.evaluation.folders import Method, read_methods
from doodl.evaluation.layouts import SUFFIXES
from doodl.evaluation.markdown import markdown, table
from doodl.evaluation.metrics import ClipFeatures, distances
from doodl.evaluation.ratings import KEY, preferences, read_answers
from doodl.evaluation.scores import Scorers, score, to_csv
from doodl.evaluation.summary import Evaluation, evaluate
from doodl.evaluation.verdicts import Describes, make_judge
from doodl.files import folder_at, read_table, write
from doodl.pretrained import Clip, load_clip


class _Parser(argparse.ArgumentParser):
    """Ends with one sentence instead of the usage."""

    @override
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see `{self.prog} --help`.")


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


def run(arguments: Sequence[str]) -> None:
    """Run `test` or `report`, the first of the arguments, with the others.

    Raises:
        ValueError: the results cannot be read or compared, in one sentence.
    """
    command, *options = arguments
    commands: dict[str, Callable[[Sequence[str]], None]] = {
        "test": test,
        "report": report,
    }
    commands[command](options)


def test(options: Sequence[str]) -> None:
    """Write `evaluation.csv` and `evaluation.md`, and print the tables."""
    known = test_parser().parse_args(options)
    if known.ratings and not known.results:
        lines = rating_lines(known.ratings, _sheet(known.ratings, [], known.sheet))
        print("\n".join(lines))
        return
    if not known.results:
        raise ValueError("Expected --results with one folder a method, received none.")
    methods = read_methods(
        known.results, read_categories(known.categories), known.iterate
    )
    lines = []
    if known.ratings:
        sheet = _sheet(known.ratings, known.results, known.sheet)
        lines = rating_lines(known.ratings, sheet)
    names = [method.name for method in methods]
    if known.against not in (None, *names):
        raise ValueError(
            f"Expected --against with one of {', '.join(names)}, received "
            f"'{known.against}'."
        )
    output = folder_at(known.output or methods[0].folder, "the folder")
    clip = find_clip(methods, known.clip)
    evaluation = scored(methods, clip, known.verdict, known.lpips)
    evaluation.ratings, evaluation.against = lines, known.against
    if known.references:
        add_distances(evaluation, Path(known.references), known.features, clip)
    print(save(evaluation, output))
    print(f"Written: {output / 'evaluation.csv'}, {output / 'evaluation.md'}")


def report(options: Sequence[str]) -> None:
    """Write the page of one or several folders of results."""
    from doodl.evaluation.report import write_report

    known = report_parser().parse_args(options)
    methods = read_methods(
        known.results, read_categories(known.categories), known.iterate
    )
    output = folder_at(known.output or methods[0].folder / "report", "the folder")
    evaluation = scored(methods, find_clip(methods, known.clip), known.verdict, None)
    print(f"Written: {write_report(evaluation, output)}")


def save(evaluation: Evaluation, output: Path) -> str:
    """Write `evaluation.csv` and `evaluation.md` into a folder; return the latter."""
    output.mkdir(parents=True, exist_ok=True)
    text = markdown(evaluation)
    write(output / "evaluation.csv", to_csv(evaluation.methods).encode())
    write(output / "evaluation.md", text.encode())
    return text


def scored(
    methods: Sequence[Method],
    clip: Clip | None,
    verdict: str | None = None,
    lpips: str | None = None,
) -> Evaluation:
    """Return the evaluation of methods, scored by these networks."""
    judge: Describes | None = make_judge(verdict) if verdict else None
    if verdict and judge is None:
        raise ValueError(
            f"Expected a judge with the methods describe and wanted, '{verdict}' lacks "
            "them."
        )
    if judge is not None:
        judge.load()
    scorers = Scorers(clip, judge, lpips)
    return evaluate([score(method, scorers) for method in methods])


def find_clip(methods: Sequence[Method], name: str | None) -> Clip | None:
    """Return the CLIP that a user names; results of the shapes world have one."""
    models = [m.settings.get("model", {}).get("pretrained") for m in methods]
    if name is None and "shapes" in models:
        name = "shapes/judge"
    return None if name in (None, "none") else load_clip(str(name))


def add_distances(
    evaluation: Evaluation, references: Path, features: str | None, clip: Clip | None
) -> None:
    """Add FID and KID of every method's pictures to those of a folder."""
    real = sorted(p for p in references.glob("*") if p.suffix.lower() in SUFFIXES)
    if not real:
        raise ValueError(f"There is no picture in the folder '{references}'.")
    if features not in (None, "inception"):
        clip = load_clip(str(features))
    elif features is None and clip is None:
        features = "inception"
    network = None if features == "inception" or clip is None else ClipFeatures(clip)
    for method in evaluation.methods:
        made = [r.after for r in method.method.results.values() if r.after]
        evaluation.distances[method.name] = distances(real, made, network)


def read_categories(path: str | None) -> dict[str, str]:
    """Return the category of each prompt of a CSV file."""
    if path is None:
        return {}
    rows = read_table(path, "a file of categories")
    if not rows or not {"prompt", "category"} <= rows[0].keys():
        raise ValueError(f"Expected the columns prompt and category in '{path}'.")
    return {row["prompt"]: row["category"] for row in rows if row["category"]}


def rating_lines(files: Sequence[str], key: Path) -> list[str]:
    """Return the table of what raters preferred."""
    questions, answers = read_answers(files, key)
    rows = [
        [
            f"{found.first} against {found.second}",
            " / ".join(map(str, found.wins)),
            " / ".join(map(str, found.majorities)),
        ]
        for found in preferences(questions, answers)
    ]
    header = ["", "win / draw / loss, answers", "by majority of raters"]
    return table(header, rows) if rows else ["No question was answered."]


def _sheet(ratings: Sequence[str], results: Sequence[str], given: str | None) -> Path:
    """Return the sheet's key: the given one, or one near answers or results."""
    if given is not None:
        return Path(given)
    near = [Path(ratings[0]).parent, *(Path(folder) / "report" for folder in results)]
    for folder in near:
        if (folder / KEY).is_file():
            return folder / KEY
    raise ValueError(f"Expected --sheet with the path of the sheet's {KEY}.")
