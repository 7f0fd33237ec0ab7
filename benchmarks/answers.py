"""What tables say beside `evaluation.md`, and what they need for it."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torchvision.utils import save_image

from doodl.evaluation.folders import read_methods
from doodl.evaluation.markdown import table
from doodl.evaluation.statistics import compare, prompts_needed
from doodl.images import load
from doodl.jobs.data import PromptsAndSeeds
from doodl.shapes.judge import AttributeJudge
from doodl.shapes.renderer import render
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.words import KINDS, PATTERNS

if TYPE_CHECKING:
    from splits import Row
    from tasks import Task

HALF_WIDTH = 0.06
"""Of the interval that a pilot plans for, as a share of successes."""
ANSWERS = ("context wrong", "other thing", "similar", "same")
"""The paper's answers to whether a picture shows the thing in its context."""
PICTURE = ("kind", "pattern", "colour")


def evaluated(folder: Path) -> dict[str, dict[tuple[str, str], Row]]:
    """Return the rows of `evaluation.csv`, by method and generation."""
    found: dict[str, dict[tuple[str, str], Row]] = defaultdict(dict)
    with (folder / "evaluation.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["method"]][row["prompt"], row["seed"]] = row
    return found


def kept_scene(folder: Path) -> list[str]:
    """Return wins of ratings among results that still show what was asked for."""
    methods, lines = evaluated(folder), []
    ours = _rated(methods["DOODL"])
    for name in ("original", "one_step", "best_of_N"):
        found = compare(ours, _rated(methods[name]))
        counts = f"{found.wins} wins, {found.ties} draws, {found.losses} losses"
        lines.append(f"- With the scene kept by both, DOODL against {name}: {counts}.")
    return lines


def _rated(found: dict[tuple[str, str], Row]) -> dict[tuple[str, str], float]:
    return {
        k: float(r["judge_after"]) for k, r in found.items() if r["right_after"] == "1"
    }


def references(rows: Sequence[Row], folder: Path, count: int) -> Path:
    """Render pictures of the rows' classes, in turn, and return their folder."""
    if len(list(folder.glob("*.png"))) == count:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(11)
    scenes = draw_scenes(count, generator, held_out="with", pairs=0.0)
    for index in range(count):
        pattern, _, kind = rows[index % len(rows)]["class"].partition(" ")
        scenes.kind[index, 0] = KINDS.index(kind)
        scenes.pattern[index, 0] = PATTERNS.index(pattern)
    for index, pixels in enumerate(render(scenes)):
        save_image(pixels, folder / f"{index}.png")
    return folder


def four_way(made: Task, folders: Sequence[Path]) -> list[str]:
    """Return the table of the paper's four answers, by the attribute judge."""
    judge = AttributeJudge()
    judge.load()
    asked = {g.id: g for g in PromptsAndSeeds(**made.data).generations}
    counts: dict[str, Counter[str]] = {}
    for method in read_methods(folders):
        counts[method.name] = Counter()
        for result in method.results.values():
            if result.after is None:
                continue
            generation = asked[result.name]
            (seen,) = judge.describe(load(result.after)[None])
            grounds = {
                g for r in judge.wanted(generation) or () for g in r["background"]
            }
            thing = judge.reference(str(generation.image))
            counts[method.name][answer(seen, thing, grounds)] += 1
    rows = [[name, *(str(found[a]) for a in ANSWERS)] for name, found in counts.items()]
    return ["\n".join(table(["", *ANSWERS], rows))]


def answer(seen: dict[str, str], thing: dict[str, str], grounds: set[str]) -> str:
    """Return one of `ANSWERS`: a thing of the same kind with one more trait is similar.

    Args:
        seen: attributes of the picture.
        thing: attributes of the picture of the thing.
        grounds: backgrounds that the prompt allows.
    """
    if seen["background"] not in grounds:
        return ANSWERS[0]
    equal = [seen[f"first_{name}"] == thing[f"first_{name}"] for name in PICTURE]
    if all(equal):
        return ANSWERS[3]
    return ANSWERS[2] if equal[0] and any(equal[1:]) else ANSWERS[1]


def plan(folder: Path, count: int) -> str:
    """Return how many prompts the table needs, from a pilot's paired differences."""
    methods = evaluated(folder)
    ours, theirs = methods["DOODL"], methods["one_step"]
    differences = {
        key: float(row["right_after"]) - float(theirs[key]["right_after"])
        for key, row in ours.items()
        if row["right_after"] and theirs[key]["right_after"]
    }
    needed = prompts_needed(differences, HALF_WIDTH, seeds=count)
    return f"{needed} prompts of {count} seeds give +- {100 * HALF_WIDTH:g} points."
