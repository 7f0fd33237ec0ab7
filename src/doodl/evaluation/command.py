"""`doodl test` and `doodl report`: from folders of results to tables and a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from doodl.evaluation.folders import Method, read_methods
from doodl.evaluation.layouts import SUFFIXES
from doodl.evaluation.markdown import markdown
from doodl.evaluation.metrics import ClipFeatures, check_lpips, distances
from doodl.evaluation.options import report_parser, test_parser
from doodl.evaluation.preferences import rating_lines
from doodl.evaluation.ratings import KEY
from doodl.evaluation.scores import Scorers, score, to_csv
from doodl.evaluation.summary import Evaluation, evaluate
from doodl.evaluation.verdicts import Describes, make_judge
from doodl.files import folder_at, named, read_table, write
from doodl.pretrained import Clip, load_clip
from doodl.terminal import line


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
    names = [method.name for method in methods]
    lines = []
    if known.ratings:
        sheet = _sheet(known.ratings, known.results, known.sheet)
        lines = rating_lines(known.ratings, sheet, names)
    against = known.against and line(known.against)
    if against not in (None, *names):
        raise ValueError(
            f"Expected --against with one of {', '.join(names)}, received "
            f"'{known.against}'."
        )
    output = output_folder(known.output or methods[0].folder)
    if known.lpips:
        check_lpips(known.lpips)
    clip, judge = find_clip(methods, known.clip), find_judge(known.verdict)
    far = {}
    if known.references is not None:
        references = named(known.references, "the references")
        far = find_distances(methods, references, known.features, clip)
    evaluation = scored(methods, clip, judge, known.lpips)
    evaluation.ratings, evaluation.against = lines, against
    evaluation.distances = far
    print(save(evaluation, output))
    written = f"{output / 'evaluation.csv'}, {output / 'evaluation.md'}"
    print(f"Written: {line(written)}")


def report(options: Sequence[str]) -> None:
    """Write the page of one or several folders of results."""
    from doodl.evaluation.report import write_report

    known = report_parser().parse_args(options)
    methods = read_methods(
        known.results, read_categories(known.categories), known.iterate
    )
    output = output_folder(known.output or methods[0].folder / "report")
    evaluation = scored(methods, find_clip(methods, known.clip), known.verdict)
    print(f"Written: {line(write_report(evaluation, output))}")


def output_folder(path: str | Path) -> Path:
    """Return the folder of a command's files, which is made if it is missing.

    Raises:
        ValueError: it cannot be made, or no file can be written there.
    """
    folder = folder_at(path, "the folder")
    try:
        with NamedTemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise ValueError(
            f"Could not write into the folder '{path}': {error.strerror}; choose "
            "another with --output."
        ) from error


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
    judge: str | Describes | None = None,
    lpips: str | None = None,
) -> Evaluation:
    """Return the evaluation of methods, scored by these networks.

    Args:
        methods: their results.
        clip: as in `Scorers`.
        judge: as in `Scorers`, or its class path.
        lpips: as in `Scorers`.
    """
    named = find_judge(judge) if isinstance(judge, str) else judge
    scorers = Scorers(clip, named, lpips)
    return evaluate([score(method, scorers) for method in methods])


def find_judge(name: str | None) -> Describes | None:
    """Return the judge that a user names, with its networks; None without a name.

    Raises:
        ValueError: there is none of that name, or it names no attributes.
    """
    if name is None:
        return None
    judge = make_judge(name)
    if judge is None:
        raise ValueError(
            f"Expected a class with the methods load, describe and wanted, received "
            f"'{name}', which lacks them; give another."
        )
    judge.load()
    return judge


def find_clip(methods: Sequence[Method], name: str | None) -> Clip | None:
    """Return the CLIP that a user names; results of the shapes world have one."""
    models = [m.settings.get("model", {}).get("pretrained") for m in methods]
    if name is None and "shapes" in models:
        name = "shapes/judge"
    return None if name in (None, "none") else load_clip(str(name))


def find_distances(
    methods: Sequence[Method],
    references: Path,
    features: str | None,
    clip: Clip | None,
) -> dict[str, dict[str, float]]:
    """Return FID and KID of every method's pictures to those of a folder.

    Raises:
        ValueError: the folder has no picture, or `metrics.distances` refuses.
    """
    real = sorted(p for p in references.glob("*") if p.suffix.lower() in SUFFIXES)
    if not real:
        raise ValueError(
            f"Expected pictures in the folder '{references}', found none; give another "
            "with --references."
        )
    if features not in (None, "inception"):
        clip = load_clip(str(features))
    elif features is None and clip is None:
        features = "inception"
    network = None if features == "inception" or clip is None else ClipFeatures(clip)
    made = {m.name: [r.after for r in m.results.values() if r.after] for m in methods}
    return {name: distances(real, paths, network) for name, paths in made.items()}


def read_categories(path: str | None) -> dict[str, str]:
    """Return the category of each prompt of a CSV file."""
    if path is None:
        return {}
    rows = read_table(path, "a file of categories")
    if not rows or not {"prompt", "category"} <= rows[0].keys():
        raise ValueError(f"Expected the columns prompt and category in '{path}'.")
    return {row["prompt"]: row["category"] for row in rows if row["category"]}


def _sheet(ratings: Sequence[str], results: Sequence[str], given: str | None) -> Path:
    """Return the sheet's key: the given one, or one near answers or results."""
    if given is not None:
        return named(given, "the sheet's key")
    folders = [named(folder, "a folder of results") for folder in results]
    near = [named(ratings[0], "answers").parent, *(f / "report" for f in folders)]
    for folder in near:
        if (folder / KEY).is_file():
            return folder / KEY
    raise ValueError(
        f"Expected the sheet's {KEY} beside the answers or in the report, found none; "
        "give its path with --sheet."
    )
