"""The layouts in which finished pictures may lie in a folder."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from doodl.evaluation.cells import known, number
from doodl.evaluation.records import opened, updates
from doodl.files import read, read_table, read_text
from doodl.jobs.tables import SUMMARY, TIMING, Tables
from doodl.spreadsheets import original

PICTURE_COLUMNS = ("picture", "file", "path", "image", "folder")
"""Columns of a foreign manifest that may name its pictures, in this order."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
Iterate = Literal["best", "last"]
"""Which picture of a generation is its result, in place of its method's own choice."""


@dataclass(frozen=True)
class Result:
    """One generation of one method.

    Args:
        prompt: what was asked for.
        seed: its seed; the number of the picture among its prompt's where unknown.
        name: the generation's id, or the file's name.
        row: row of the manifest.
        before: picture without guidance, or None.
        after: the result, or None where it is missing.
        latents: file of the latents, or None.
        metrics: file of the scores of every update, or None.
        category: of the prompt, or "".
        animation: file with the pictures of all updates, or None.
        shot: which picture of its generation the result is: `best`, `final` (of the
            last update) or `original`.
        target: class that was asked for, or None.
        image: path of the picture that was asked for or edited, or None.
        original_lost: whether the picture without guidance should be there, and is not.
    """

    prompt: str
    seed: int
    name: str
    row: Mapping[str, Any] = field(default_factory=dict)
    before: Path | None = None
    after: Path | None = None
    latents: Path | None = None
    metrics: Path | None = None
    category: str = ""
    animation: Path | None = None
    shot: str = "best"
    target: str | None = None
    image: str | None = None
    original_lost: bool = False


def own(folder: Path, iterate: Iterate | None = None) -> Iterator[Result]:
    """Yield what the summaries say; the manifest may be older than they are.

    Args:
        folder: of results.
        iterate: which picture of a generation is its result: `best` for the highest
            guide score, the original's included, `last` for the last update; None
            for the one that the method itself reports. Of samples that a method has
            drawn to choose from (best of N), the chosen one is always the result.
    """
    tables = Tables(folder)
    for summary in sorted(folder.glob(f"*/{SUMMARY}")):
        row, place = tables.row(summary.parent.name), summary.parent
        if row is not None and {"prompt", "seed"} <= row.keys():
            metrics = _file(place / "metrics.jsonl")
            shot, changes = _iterate(row, metrics, iterate)
            before = _file(place / "original.png")
            yield Result(
                prompt=str(row["prompt"]),
                seed=int(row["seed"]),
                name=place.name,
                row=row | _seconds(place) | changes,
                before=before,
                after=_file(place / f"{shot}.png"),
                latents=_file(place / "latents.safetensors"),
                metrics=metrics,
                category=str(row.get("category") or ""),
                animation=_file(place / "trajectory.png"),
                shot=shot,
                original_lost=before is None,
                **_asked(row),
            )


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the class and the picture that a row asks for, if there are any."""
    return {name: str(row[name]) for name in ("target", "image") if row.get(name)}


def _iterate(
    row: Mapping[str, Any], metrics: Path | None, iterate: Iterate | None
) -> tuple[str, dict[str, Any]]:
    """Return which picture is a generation's result, and what changes in its row."""
    lines = updates(metrics) if iterate == "last" else []
    if lines:  # the last update of an optimisation
        scores = {f"{name}_best": lines[-1].get(name) for name in ("guide", "judge")}
        # The judge has said nothing about this picture yet.
        return "final", scores | {"verdict_best": None, "selector": "last"}
    if iterate == "best" and row.get("selector") == "last":
        names = ("guide", "judge", "verdict")
        changes: dict[str, Any] = {"selector": "guide"}
        if number(row.get("guide_first")) > number(row.get("guide_best")):
            changes |= {f"{name}_best": row.get(f"{name}_first") for name in names}
            return "original", changes
        return "best", changes
    return "best", {}


def _seconds(place: Path) -> dict[str, float]:
    """Return how long a generation took, if its file says so."""
    try:
        content = json.loads(read(place / TIMING, "a timing"))
    except (ValueError, RecursionError):
        return {}
    seconds = known(content.get("seconds")) if isinstance(content, dict) else None
    return {} if seconds is None else {"seconds": seconds}


def _original(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a CSV file without the apostrophes of `neutral`."""
    return {k: original(v) if isinstance(v, str) else v for k, v in row.items()}


def listed(folder: Path) -> Iterator[Result]:
    """Yield the rows of a manifest that another program wrote."""
    path = folder / "manifest.csv"
    rows = [_original(row) for row in read_table(path, "a manifest")]
    columns = set(rows[0]) if rows else set()
    pictures = [name for name in PICTURE_COLUMNS if name in columns]
    if "prompt" not in columns or not pictures:
        raise ValueError(
            f"Expected the columns prompt and one of {', '.join(PICTURE_COLUMNS)} in "
            f"'{path}', found {', '.join(sorted(map(str, columns))) or 'no row'}."
        )
    numbers: Counter[str] = Counter()
    for row in rows:
        place = folder / (row[pictures[0]] or "")
        inside = os.path.isdir(place)
        after = place / "best.png" if inside else place
        stated = row.get("original")
        before = _file(folder / stated if stated else place / "original.png")
        prompt = row["prompt"] or ""  # None in a row that is cut off
        number = numbers[prompt]
        numbers[prompt] += 1
        yield Result(
            prompt=prompt,
            seed=_seed(row.get("seed"), number, path),
            name=row.get("id") or place.stem,
            row=row,
            before=before,
            after=_file(after),
            category=row.get("category") or "",
            original_lost=bool(stated) and before is None,
            **_asked({k: v for k, v in row.items() if k != pictures[0]}),
        )


def _seed(text: str | None, number: int, path: Path) -> int:
    try:
        return int(text) if text else number
    except ValueError:
        raise ValueError(
            f"Expected whole seeds in '{path}', found '{text}'; correct it."
        ) from None


def bare(folder: Path) -> Iterator[Result]:
    """Yield pictures whose prompts are in `prompts.txt`, beside or inside them."""
    files = (path for path in folder.iterdir() if path.is_file())
    pictures = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    lines = folder / "prompts.txt"
    prompts: list[str | None]
    if lines.is_file():
        texts = read_text(lines, "a file of prompts").splitlines()
        prompts = [text.strip() for text in texts if text.strip()]
        if len(prompts) != len(pictures):
            raise ValueError(
                f"Expected one line of '{lines}' for each picture, found "
                f"{len(prompts)} lines and {len(pictures)} pictures; sort the lines as "
                "the names of the pictures."
            )
    else:
        prompts = [None] * len(pictures)
    numbers: Counter[str] = Counter()
    for path, text in zip(pictures, prompts, strict=True):
        prompt, given = _carried(path) if text is None else (text, None)
        number = numbers[prompt]
        numbers[prompt] += 1
        seed = _seed(given, number, path)
        yield Result(prompt=prompt, seed=seed, name=path.stem, after=path)


def _carried(path: Path) -> tuple[str, str | None]:
    """Return the prompt and seed that a picture, or a text beside it, states."""
    beside = path.with_suffix(".txt")
    if beside.is_file():
        return read_text(beside, "a prompt").strip(), None
    with opened(path) as file:
        texts = dict(getattr(file, "text", {}))
    with contextlib.suppress(KeyError, TypeError, ValueError, RecursionError):
        ours = json.loads(texts["doodl"])
        return str(ours["prompt"]), str(ours["seed"])
    if "prompt" not in texts or texts["prompt"].lstrip().startswith("{"):
        # No text, or a workflow of ComfyUI.
        raise ValueError(
            f"No prompt is known for the picture '{path}'; add prompts.txt with one "
            f"line a picture, '{beside.name}', or a manifest.csv."
        )
    return texts["prompt"], texts.get("seed")


def _file(path: Path) -> Path | None:
    # Unlike `Path.is_file`, this is false for a name that is too long.
    return path if os.path.isfile(path) else None
