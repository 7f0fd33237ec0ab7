"""Prompts, targets and pictures on which the applications are measured."""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.utils import save_image

from doodl.cli import main as doodl
from doodl.jobs.data import PromptsAndSeeds
from doodl.shapes.evaluate import plain_captions
from doodl.shapes.renderer import render
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.words import BACKGROUNDS, COLOURS, KINDS, NAMED, PATTERNS, UNNAMED

APPLICATIONS = (
    "clip_text",
    "classifier",
    "aesthetic",
    "aesthetic_edit",
    "personalization",
)


PARTIAL = {"aesthetic_edit": ["--model.edit.strength", "0.5"]}
"""Of the baselines alone: without EDICT's pair a whole inversion loses the picture."""
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Task:
    """The generations on which an application is measured.

    Args:
        name: name of the application and of its packaged configuration.
        data: arguments of `PromptsAndSeeds`.
    """

    name: str
    data: dict[str, Any]

    def run(self, stage: str, folder: Path, options: list[str]) -> Rows:
        """Run the command and return this task's rows of the manifest."""
        command = [stage, "--config", self.name, "--results.folder", str(folder)]
        for key, value in self.data.items():
            text = value if isinstance(value, str) else json.dumps(value)
            command += [f"--data.{key}", text]
        doodl([*command, *options])
        if os.environ.get("LOCAL_RANK", "0") != "0":  # with --trainer.devices 2
            raise SystemExit
        wanted = {g.id for g in PromptsAndSeeds(**self.data).generations}
        with (folder / "manifest.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["id"] in wanted]
        with (folder / "timings.csv").open() as file:
            seconds = {r["id"]: r["seconds"] for r in csv.DictReader(file)}
        return [
            row | {"root": str(folder), "seconds": seconds[row["id"]]} for row in rows
        ]


def mean(rows: Rows, column: str) -> float:
    """Return the mean of a column's values, or NaN if it has none."""
    truth = {"True": "1", "False": "0"}
    values = [float(truth.get(row[column], row[column])) for row in rows if row[column]]
    return statistics.fmean(values) if values else math.nan


def task(name: str, folder: Path, count: int, seeds: str, seed: int) -> Task:
    """Return `count` prompts of an application, with their targets and pictures.

    Args:
        name: name of the application.
        folder: folder for files of prompts and pictures.
        count: number of prompts, or of pictures for an edit.
        seeds: seeds of the generations, as `0-1`; an edit's pictures need one each.
        seed: seed from which the prompts are drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, generator = folder / "prompts.csv", torch.Generator().manual_seed(seed)
    if name == "clip_text":
        rows = [
            {"prompt": text}
            for text in plain_captions(count, pairs=1.0, held_out="only", seed=seed)
        ]
    elif name == "aesthetic":
        rows = [{"prompt": t} for t in plain_captions(count, pairs=0.5, seed=seed)]
    elif name == "classifier":
        rows = _unnamed(count, generator)
    elif name == "personalization":
        rows = _things(count, generator, folder)
    else:
        pictures = _dull(count, generator, folder)
        return Task(name, {"prompts": None, "images": pictures, "seeds": "0"})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    data: dict[str, Any] = {"prompts": str(path), "seeds": seeds}
    # The files name targets and pictures; those of the packaged configuration go.
    if name == "classifier":
        data["target"] = None
    if name == "personalization":
        data["images"] = None
    return Task(name, data)


def _unnamed(count: int, generator: torch.Generator) -> Rows:
    """Return prompts without kind and pattern, and classes that name both."""
    classes = [f"{p} {kind}" for kind in UNNAMED for p in PATTERNS[1:]]
    order = torch.randperm(len(classes), generator=generator).tolist()
    rows = []
    for index in range(count):
        colour, ground = _pick(COLOURS, generator), _pick(BACKGROUNDS, generator)
        prompt = f"a patterned {colour} shape on a {ground} background"
        rows.append({"prompt": prompt, "class": classes[order[index % len(order)]]})
    return rows


def _things(count: int, generator: torch.Generator, folder: Path) -> Rows:
    """Return pictures of one object, and prompts with its kind and another place."""
    scenes = draw_scenes(count, generator, held_out="without", pairs=0.0)
    kind = torch.randint(len(NAMED), (count,), generator=generator)
    pattern = torch.randint(1, len(PATTERNS), (count,), generator=generator)
    scenes.kind[:, 0], scenes.pattern[:, 0] = kind, pattern
    scenes.radius[:, 0], scenes.centre[:, 0] = 16.0, 32.0
    pixels, rows = render(scenes), []
    for index in range(count):
        path = folder / f"thing_{index}.png"
        save_image(pixels[index], path)
        shift = 1 + int(torch.randint(3, (), generator=generator))
        ground = BACKGROUNDS[(int(scenes.background[index]) + shift) % 4]
        prompt = f"a patterned {KINDS[kind[index]]} on a {ground} background"
        rows.append({"prompt": prompt, "image": str(path)})
    return rows


def _dull(count: int, generator: torch.Generator, folder: Path) -> list[str]:
    """Return pale pictures to edit."""
    scenes = draw_scenes(count, generator, pairs=0.5)
    scenes = scenes.replace(vividness=torch.full_like(scenes.vividness, 0.35))
    paths = [folder / f"dull_{index}.png" for index in range(count)]
    for pixels, path in zip(render(scenes), paths, strict=True):
        save_image(pixels, path)
    return [str(path) for path in paths]


def _pick(words: tuple[str, ...], generator: torch.Generator) -> str:
    return words[int(torch.randint(len(words), (), generator=generator))]
