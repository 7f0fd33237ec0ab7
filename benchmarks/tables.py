"""Makes one of the paper's tables in the shapes world, and writes what was found.

    python benchmarks/tables.py text [--prompts 48] [--seeds 4] [--updates 20] [--pilot]

Tables and their methods are listed in `tables.yaml`. The same command goes on with what
is finished. All methods have the same prompts, seeds and networks, and report the
picture that the guide prefers on the full frame; best of N has as many samples as cost
what the updates cost; calls are counted as they are made. `--pilot` runs prompts and
seeds that no table uses, says how many prompts the intervals need and how long they
take, and the table then has that many. Further options go to `doodl`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pilot
import rare
import yaml
from answers import endings, extra
from draws import Row
from figures import Figure, conclusion, figures_table, read_figures, sections
from splits import Part, rows, seeds
from tasks import Task

from doodl.evaluation.command import find_clip, read_categories, save, scored
from doodl.evaluation.cost import GRADIENT_CALL
from doodl.evaluation.folders import Method, read_method
from doodl.evaluation.summary import Evaluation
from doodl.pretrained import SHAPES

FILE = Path(__file__).with_name("tables.yaml")
NAMES = (
    *("text", "rare", "vocabulary", "personalization", "aesthetics", "editing"),
    "ablations",
)
DRAWS = 2000
"""First seed of the draws that measure how often a prompt succeeds by itself."""


@dataclass(frozen=True)
class Table:
    """One table of `tables.yaml`.

    Args:
        title: of the table.
        application: packaged configuration.
        methods: commands by name; the first method is ours.
        prompts: number of prompts, unless a pilot or the user says another.
        seeds: number of seeds of each.
        decides: columns on which the last sentences stand, the chief one first.
        figures: comparisons beside the paper's.
        verdict: class of the judge that names attributes; None for the results' own.
        last: method whose last iterate is compared with its best one.
        rare: whether its prompts are those of `rare.csv`, which samples never show.
    """

    title: str
    application: str
    methods: dict[str, list[str]]
    prompts: int
    seeds: int
    decides: tuple[str, ...]
    figures: tuple[Figure, ...]
    verdict: str | None = None
    last: str | None = None
    rare: bool = False

    @property
    def ours(self) -> str:
        """Name of the first method."""
        return next(iter(self.methods))


def load(name: str, updates: int | None = None, path: Path = FILE) -> Table:
    """Return a table of a file, with its methods as commands.

    Args:
        name: of the table.
        updates: number of updates; None for the table's own.
        path: of the file.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = content["tables"][name]
    planned = found.pop("updates")
    count = updates or planned
    values = {
        "updates": count,
        # An update moves two latents, and so does the result.
        "samples": round(GRADIENT_CALL * 2 * count) + 2,
        "strength": found.pop("strength"),
    }
    more = shlex.split(found.pop("options", ""))
    for network, options in found.pop("where_installed", {}).items():
        if (SHAPES / network.removeprefix("shapes/")).is_dir():
            more += shlex.split(options)
    methods = {
        method: [*shlex.split(content["methods"][method].format(**values)), *more]
        for method in found.pop("methods")
    }
    figures = read_figures(found.pop("figures"))
    decides = tuple(found.pop("decides"))
    return Table(methods=methods, figures=figures, decides=decides, **found)


def write_rows(found: Sequence[Row], path: Path) -> Path:
    """Write rows as a file of prompts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return path


def make_task(application: str, listed: Sequence[Row], folder: Path, n: str) -> Task:
    """Return the generations of a table."""
    data: dict[str, Any] = {"seeds": n}
    if application == "aesthetic_edit":
        pictures = [row["image"] for row in listed]
        return Task(application, data | {"prompts": None, "images": pictures})
    data["prompts"] = str(write_rows(listed, folder / "prompts.csv"))
    # The file names targets and pictures; those of the configuration go.
    if "class" in listed[0]:
        data["target"] = None
    if "image" in listed[0]:
        data["images"] = None
    return Task(application, data)


def regimes(made: Task, folder: Path, options: Sequence[str]) -> Path:
    """Write the regime of each prompt, by its share of right plain draws."""
    hits: dict[str, list[bool]] = defaultdict(list)
    single = ["--model.baseline", "doodl.baselines.BestOfN"]
    single += ["--model.baseline.samples", "1"]
    for row in made.run("predict", folder / "draws", [*single, *options]):
        hits[row["prompt"]].append(row["verdict_best"] == "True")
    found = [
        {"prompt": prompt, "category": regime(sum(some) / len(some))}
        for prompt, some in hits.items()
    ]
    return write_rows(found, folder / "regimes.csv")


def regime(rate: float) -> str:
    """Return the name of a base hit rate's regime."""
    if rate > 0.05:
        return "hit rate above 5%"
    return "hit rate 0.5 to 5%" if rate >= 0.005 else "hit rate below 0.5%"


def evaluated(table: Table, folder: Path, names: Sequence[str]) -> Evaluation:
    """Return the evaluation of a table's folders, also written there as files."""
    path = folder / "regimes.csv"
    categories = read_categories(str(path) if path.is_file() else None)
    methods: list[Method] = [
        read_method(folder / name, name, categories, "best") for name in names
    ]
    if table.last in names:
        last = folder / str(table.last)
        methods.append(read_method(last, "last_iterate", categories, "last"))
    evaluation = scored(methods, find_clip(methods, None), table.verdict)
    if len(methods) > 5:
        evaluation.against = names[0]
    save(evaluation, folder)
    return evaluation


def make(name: str, known: argparse.Namespace, more: list[str]) -> Path:
    """Make a table, or go on with it; return its file."""
    table = load(name, known.updates)
    part: Part = "tuning" if known.pilot else "table"
    folder, plan = known.folder / name / part, known.folder / name / "pilot.json"
    usual = pilot.PROMPTS if known.pilot else pilot.planned(plan) or table.prompts
    prompts = known.prompts or usual
    count = known.seeds or table.seeds
    if table.rare and not known.pilot:
        listed = rare.read(prompts)
    else:
        listed = rows(table.application, part, prompts, folder / "data")
    generations = make_task(
        table.application, listed, folder / "data", seeds(part, count)
    )
    names = [n for n in table.methods if not known.only or n in known.only]
    for key in names:
        stage, *options = table.methods[key]
        generations.run(stage, folder / key, [*options, *more])
    if name == "text" and known.draws:
        drawn = f"{DRAWS}-{DRAWS + known.draws - 1}"
        made = make_task(table.application, listed, folder / "data", drawn)
        regimes(made, folder, more)
    evaluation = evaluated(table, folder, names)
    ours = table.ours if table.ours in names else names[0]
    ends = [conclusion(evaluation, column, ours) for column in table.decides]
    ends += endings(name, evaluation, ours)
    hours = pilot.spent(evaluation, folder / "draws")
    options = {"prompts": prompts, "seeds": count, "updates": known.updates}
    command = [f"--{key} {value}" for key, value in options.items() if value]
    text = [
        f"# {table.title}",
        "\n".join(figures_table(evaluation, table.figures)),
        *extra(name, evaluation, generations, listed, folder),
        sections(folder / "evaluation.md"),
        f"Made in {hours:.1f} hours of one core by "
        f"`{' '.join(['tables.py', name, *command, *more])}`.",
        pilot.outlook(evaluation, table.decides[0], ours, count, hours / prompts),
        f"**{' '.join(ends)}**",
    ]
    target = folder / "table.md"
    target.write_text("\n\n".join(filter(None, text)) + "\n", encoding="utf-8")
    if known.pilot:
        found = pilot.plan(evaluation, table.decides[0], ours, count)
        plan.write_text(json.dumps(found, indent=1))
        print(pilot.sentence(found, hours / prompts))
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Make one table and print where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--prompts", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--updates", type=int)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--pilot", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of methods")
    parser.add_argument("--folder", type=Path, default=Path("results/tables"))
    known, more = parser.parse_known_args(arguments)
    print(f"Table: {make(known.name, known, more)}")


if __name__ == "__main__":
    main()
