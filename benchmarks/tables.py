"""Makes one of the paper's tables in the shapes world, and writes what was found.

    python benchmarks/tables.py text [--prompts 48] [--seeds 4] [--updates 20] [--pilot]

Tables: `text`, `vocabulary`, `personalization`, `aesthetics`, `ablations`. The same
command goes on with what is finished. All methods have the same prompts, seeds and
networks; best of N has as many samples as cost what the updates cost; calls are counted
from what was made. `--pilot` runs prompts and seeds that no table uses, and prints how
many prompts an interval of +- 6 points needs. Further options go to `doodl`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from answers import evaluated, four_way, kept_scene, plan, references
from splits import Part, Row, rows, seeds
from tasks import Task

from doodl.cli import main as doodl

FEATURES = 128
"""Of the judge CLIP: FID needs more pictures than that."""
DRAWS = 2000
"""First seed of the draws that measure how often a prompt succeeds by itself."""


@dataclass(frozen=True)
class Arm:
    """One way of making the pictures: a command of `doodl` and its options."""

    stage: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Args:
        application: packaged configuration.
        paper: what the paper reports.
        strength: of one-step guidance, the best of a sweep.
        prompts: number of prompts, and of seeds of each.
    """

    application: str
    paper: str
    strength: float
    prompts: tuple[int, int]


TABLES = {
    "text": Table(
        "clip_text",
        "CLIP score +3.1 / +2.6% relative to one-step; success +11.3 points over the "
        "original, +6 over one-step.",
        10,
        (48, 4),
    ),
    "vocabulary": Table(
        "classifier",
        "FID -3.2, -5.3, -0.4% relative to the original; one-step +6.1, +0.27, +13.7.",
        3,
        (36, 4),
    ),
    "personalization": Table(
        "personalization",
        "same or similar by majority 52.1%; one-step 25.0%, original 6.2%.",
        10,
        (16, 6),
    ),
    "aesthetics": Table(
        "aesthetic", "8 prompts x 16 seeds, preferred by people.", 10, (8, 16)
    ),
    "ablations": Table("clip_text", "asserted without a table.", 10, (24, 2)),
}
OPTIMIZER = "--model.optimizer."
ABLATIONS: dict[str, tuple[str, ...]] = {
    "no_averaging": (f"{OPTIMIZER}average_pair", "false"),
    "no_renormalizing": (f"{OPTIMIZER}renormalize", "false"),
    "no_noise": (f"{OPTIMIZER}noise_scale", "0"),
    "no_multicrop": ("--multicrop.num_cutouts", "0"),
    "no_momentum": (f"{OPTIMIZER}momentum", "0"),
    "T_10": ("--model.num_steps", "10"),
    "T_50": ("--model.num_steps", "50"),
    "p_0.80": ("--model.mixing", "0.80"),
    "p_0.93": ("--model.mixing", "0.93"),
    "p_0.99": ("--model.mixing", "0.99"),
    "one_guide": (
        *("--model.guide", "doodl.guides.CLIPText"),
        *("--model.guide.model", "shapes/guide"),
    ),
}


def arms(name: str, updates: int) -> dict[str, Arm]:
    """Return the methods of a table by name."""
    ours = ("--model.num_updates", str(updates))
    if name == "ablations":
        changed = {key: Arm("fit", (*ours, *more)) for key, more in ABLATIONS.items()}
        return {"DOODL": Arm("fit", ours), **changed}
    strength = str(TABLES[name].strength)
    one = (*baseline("OneStep"), "--model.baseline.strength", strength)
    best = (*baseline("BestOfN"), "--model.baseline.updates", str(updates))
    return {
        "DOODL": Arm("fit", ours),
        "one_step": Arm("predict", one),
        "best_of_N": Arm("predict", best),
        "original": Arm("predict", single()),
    }


def baseline(name: str) -> tuple[str, str]:
    """Return the option that chooses a baseline."""
    return "--model.baseline", f"doodl.baselines.{name}"


def single() -> tuple[str, ...]:
    """Return the options of one DDIM sample, the baselines' own original."""
    return *baseline("BestOfN"), "--model.baseline.samples", "1"


def write_rows(found: Sequence[Row], path: Path) -> Path:
    """Write rows as a file of prompts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return path


def make_task(name: str, path: Path, numbers: str) -> Task:
    """Return the generations of a table."""
    data: dict[str, str | None] = {"prompts": str(path), "seeds": numbers}
    if name == "vocabulary":
        data["target"] = None
    if name == "personalization":
        data["images"] = None
    return Task(TABLES[name].application, data)


def regimes(name: str, path: Path, folder: Path, draws: int, more: list[str]) -> Path:
    """Write the regime of each prompt, by its share of right plain draws."""
    numbers = f"{DRAWS}-{DRAWS + draws - 1}"
    made = make_task(name, path, numbers)
    hits: dict[str, list[bool]] = defaultdict(list)
    for row in made.run("predict", folder / "draws", [*single(), *more]):
        hits[row["prompt"]].append(row["verdict_best"] == "True")
    return write_rows(
        [
            {"prompt": prompt, "category": regime(sum(found) / len(found))}
            for prompt, found in hits.items()
        ],
        folder / "regimes.csv",
    )


def regime(rate: float) -> str:
    """Return the name of a base hit rate's regime."""
    if rate > 0.05:
        return "hit rate above 5%"
    return "hit rate 0.5 to 5%" if rate >= 0.005 else "hit rate below 0.5%"


def make(name: str, known: argparse.Namespace, more: list[str]) -> Path:
    """Make a table, or go on with it; return its file."""
    table, part = TABLES[name], ("tuning" if known.pilot else "table")
    prompts, count = known.prompts or table.prompts[0], known.seeds or table.prompts[1]
    folder = known.folder / name / part
    chosen: Part = "tuning" if known.pilot else "table"
    listed = rows(table.application, chosen, prompts, folder / "data")
    path = write_rows(listed, folder / "data" / "prompts.csv")
    generations = make_task(name, path, seeds(chosen, count))
    found = arms(name, known.updates)
    if known.only:
        found = {key: arm for key, arm in found.items() if key in known.only}
    for key, arm in found.items():
        generations.run(arm.stage, folder / key, [*arm.options, *more])
    options = ["--results", *(str(folder / key) for key in found)]
    if name == "text" and known.draws:
        place = regimes(name, path, folder, known.draws, more)
        options += ["--categories", str(place)]
    if name == "vocabulary" and prompts * count > FEATURES:
        real = references(listed, folder / "real", prompts * count)
        options += ["--references", str(real), "--features", "shapes/judge"]
    doodl(["test", *options, "--output", str(folder)])
    if name == "ablations":  # the last iterate of all, beside the best of all
        doodl(["test", *options, "--iterate", "last", "--output", str(folder / "last")])
    lines = [(folder / "evaluation.md").read_text(), f"The paper: {table.paper}"]
    if name == "aesthetics" and not known.only:
        lines += kept_scene(folder)
    if name == "personalization":
        lines += four_way(generations, [folder / key for key in found])
    spent = [row["seconds"] for m in evaluated(folder).values() for row in m.values()]
    hours = sum(map(float, filter(None, spent))) / 3600
    lines += [f"Made in {hours:.2f} hours.", f"Settings: `{json.dumps(more)}`."]
    target = folder / "table.md"
    target.write_text("\n\n".join(lines) + "\n")
    if known.pilot:
        print(plan(folder, count))
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Make one table and print where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=TABLES)
    parser.add_argument("--prompts", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--pilot", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of methods")
    parser.add_argument("--folder", type=Path, default=Path("results/tables"))
    known, more = parser.parse_known_args(arguments)
    print(f"Table: {make(known.name, known, more)}")


if __name__ == "__main__":
    main()
