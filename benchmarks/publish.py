"""Writes the tables that `tables.py` has made into the documentation.

    python benchmarks/publish.py results/tables    # after the tables were made
    python benchmarks/publish.py                   # only fill the documentation again

The first command copies every table to `benchmarks/results/`, and writes a summary of
all of them there, in which tables that were not made this time keep their rows. Both
commands write `world.md` there with the figures that `python -m doodl.shapes evaluate`
has recorded, and fill the blocks of the documentation that stand between
`<!-- begin benchmarks/results/NAME.md -->` and `<!-- end -->`. A test compares blocks
and files, so that no figure is typed.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tables import NAMES, load

from doodl.evaluation.cells import number
from doodl.evaluation.markdown import cell, table
from doodl.evaluation.statistics import Key, clustered_mean, compare
from doodl.evaluation.summary import METRICS
from doodl.pretrained import SHAPES
from doodl.shapes import goals

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "docs" / "applications.md",
    ROOT / "docs" / "shapes_world.md",
    ROOT / "docs" / "how_to" / "fewer_calls.md",
)
BLOCK = re.compile(
    r"(<!-- begin (benchmarks/results/[\w.-]+\.md) -->\n).*?(<!-- end -->)", re.DOTALL
)
SUMMARY = ("original", "one_step", "best_of_N", "DOODL", "fast")
"""Methods of the summary."""
ECONOMY = {
    "judge_after": "judge",
    "right_after": "right, points",
    "near": "right and near, points",
    "gap": "guide \N{MINUS SIGN} judge",
    "kurtosis": "kurtosis",
}
"""Columns on which `fast` is compared with DOODL, with their titles."""
CONDITIONS = Path(__file__).with_name("conditions.md")
"""What holds for all tables."""


def filled(text: str, root: Path = ROOT) -> str:
    """Return a document with the files' content in its blocks.

    Args:
        text: of the document.
        root: folder that the blocks' paths start from.

    Raises:
        ValueError: a block names a file that does not exist.
    """

    def block(found: re.Match[str]) -> str:
        path = root / found[2]
        if not path.is_file():
            raise ValueError(
                f"There is no '{found[2]}', which a document includes; make it with "
                "benchmarks/tables.py and benchmarks/publish.py."
            )
        content = path.read_text(encoding="utf-8")
        if content.startswith("# "):  # the document has a heading of its own
            content = content.partition("\n")[2]
        return f"{found[1]}\n{content.strip()}\n\n{found[3]}"

    return BLOCK.sub(block, text)


def collect(folder: Path, target: Path = RESULTS) -> list[str]:
    """Copy the tables of a folder, and write their summary; return their names.

    Args:
        folder: where `tables.py` has made them.
        target: folder of the copies.

    Raises:
        ValueError: the folder has no finished table.
    """
    made = [n for n in NAMES if (folder / n / "table" / "table.md").is_file()]
    if not made:
        raise ValueError(
            f"There is no finished table in '{folder}'; make one with "
            "benchmarks/tables.py."
        )
    target.mkdir(parents=True, exist_ok=True)
    for name in made:
        text = (folder / name / "table" / "table.md").read_text(encoding="utf-8")
        (target / f"{name}.md").write_text(text, encoding="utf-8")
    shutil.copyfile(CONDITIONS, target / "conditions.md")
    folders = {name: folder / name / "table" for name in made}
    for name, lines_of in (("summary", summary), ("economy", economy)):
        path = target / f"{name}.md"
        lines = lines_of(folders, earlier(path))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def earlier(path: Path) -> dict[str, list[str]]:
    """Return the rows of a summary that was written before, by their first cell."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {row[0].strip(): row for row in rows}


def ordered(
    made: dict[str, list[str]], before: dict[str, list[str]]
) -> list[list[str]]:
    """Return rows by title, those made now in place of earlier ones, in order."""
    found = before | made
    titles = [load(name).title for name in NAMES]
    return [found[title] for title in titles if title in found]


def summary(
    folders: dict[str, Path], before: dict[str, list[str]] | None = None
) -> list[str]:
    """Return one row a table: what decides it, for every method of `SUMMARY`.

    Args:
        folders: with `evaluation.csv`, by table.
        before: rows of tables that were made earlier, by title.
    """
    rows = {}
    for name, folder in folders.items():
        made = load(name)
        if not set(SUMMARY[1:]) & set(made.methods) - {made.ours}:
            continue
        values = read_column(folder / "evaluation.csv", made.decides[0])
        title, factor = METRICS[made.decides[0]]
        unit = (
            ", %" if factor == 100 else ", the true rating" if title == "judge" else ""
        )
        means = [cell(clustered_mean(values.get(key, {})), factor) for key in SUMMARY]
        rows[made.title] = [made.title, f"{title}{unit}", *means]
    header = ["", "score", "original", "one-step", "best of N", "DOODL", "fast"]
    note = (
        "Means with 95% intervals from a bootstrap over prompts. One-step guidance has "
        "strength 10; some of the single tables also have others."
    )
    return [*table(header, ordered(rows, before or {})), "", note]


def economy(
    folders: dict[str, Path], before: dict[str, list[str]] | None = None
) -> list[str]:
    """Return one row a table: what `fast` reaches beside DOODL, and their calls.

    The arguments are those of `summary`.
    """
    rows: dict[str, list[str]] = {}
    for name, folder in folders.items():
        path = folder / "evaluation.csv"
        calls = read_column(path, "equivalents")
        if "fast" not in calls:
            continue
        costs = [f"{clustered_mean(calls[key]).mean:.0f}" for key in ("DOODL", "fast")]
        found = {name: read_column(path, name) for name in ECONOMY if name != "gap"}
        found["gap"] = gaps(read_column(path, "guide_after"), found["judge_after"])
        differences = [
            cell(
                compare(
                    *(found[name].get(m, {}) for m in ("fast", "DOODL"))
                ).difference,
                METRICS.get(name, ("", 1))[1],
                signed=True,
            )
            for name in ECONOMY
        ]
        title = load(name).title
        rows[title] = [title, *costs, *differences]
    header = ["", "calls of DOODL", "calls of fast", *ECONOMY.values()]
    note = (
        "Paired differences, `fast` less DOODL, with 95% intervals from a bootstrap "
        "over prompts. Guide and judge are on one scale: a larger gap is a gain that "
        "the judge does not see. White noise has a kurtosis of 3."
    )
    return [*table(header, ordered(rows, before or {})), "", note]


def gaps(
    guide: dict[str, dict[Key, float]], judge: dict[str, dict[Key, float]]
) -> dict[str, dict[Key, float]]:
    """Return guide less judge by method and generation."""
    return {
        name: {key: some[key] - judge[name][key] for key in some.keys() & judge[name]}
        for name, some in guide.items()
    }


def world(target: Path = RESULTS) -> Path:
    """Write the recorded figures of the world that ships, and return the file."""
    figures = json.loads((SHAPES / "figures.json").read_text(encoding="utf-8"))
    path = target / "world.md"
    path.write_text("\n".join(goals.documentation(figures)) + "\n", encoding="utf-8")
    return path


def read_column(path: Path, column: str) -> dict[str, dict[Key, float]]:
    """Return a column of `evaluation.csv` by method and generation, where known."""
    found: dict[str, dict[Key, float]] = defaultdict(dict)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            asked = [row.get(name) or "" for name in ("image", "target")]
            value = number(row.get(column, ""))
            if value == value:
                # Edits have no prompt: each of their pictures counts by itself.
                prompt = row["prompt"] or asked[0]
                found[row["method"]][prompt, " ".join([row["seed"], *asked])] = value
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy tables if a folder is given, and fill the documents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="of finished tables")
    known = parser.parse_args(arguments)
    if known.folder is not None:
        print(f"Copied: {', '.join(collect(known.folder))}")
    world()
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        path.write_text(filled(text), encoding="utf-8")
        print(f"Filled: {len(BLOCK.findall(text))} blocks of {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
