"""The report: a folder with one page that opens from disk, and its pictures."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from doodl.evaluation.curves import caption, curves
from doodl.evaluation.folders import Method
from doodl.evaluation.headline import headline, summary, tile, title
from doodl.evaluation.layouts import Result
from doodl.evaluation.markdown import findings
from doodl.evaluation.pictures import copied, film, given
from doodl.evaluation.rating_sheet import write_sheet
from doodl.evaluation.ratings import KEY, key_of, make_sheet
from doodl.evaluation.scores import Scores
from doodl.evaluation.statistics import Key
from doodl.evaluation.summary import Evaluation
from doodl.evaluation.templates import render
from doodl.files import write

SHOWN = ("guide", "judge", "right", "clip")
"""Scores with a value before and one after."""
DETAILS = ("moved", "psnr", "equivalents", "seconds", "updates")


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write the page, its pictures and a blind rating sheet; return the page's path.

    Prompts come from anywhere: the template escapes them, the script inserts them as
    text, and the page's policy allows no request and no other script.

    Args:
        evaluation: what is reported.
        folder: where; files of an older report are replaced.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    entries = [
        _entry(evaluation, key, folder)
        for key in _ordered({key for m in evaluation.methods for key in m.rows})
    ]
    data = {
        "headline": evaluation.headline.removesuffix("_after"),
        "methods": [m.name for m in evaluation.methods],
        "configs": [configuration(m.method, folder) for m in evaluation.methods],
        "entries": entries,
    }
    methods = [m.method for m in evaluation.methods]
    questions = make_sheet(methods)
    if questions:
        write(folder / KEY, key_of(questions))
        write_sheet(questions, methods, folder)
    page = render(
        "report",
        data,
        title=title(evaluation),
        headline=headline(evaluation),
        summary=summary(evaluation),
        tiles=[tile(evaluation, method) for method in evaluation.methods],
        findings=findings(evaluation) if len(methods) > 2 else [],
        notes=evaluation.notes,
        curves=curves(evaluation),
        caption=caption(evaluation),
        settings=[(m.name, json.dumps(m.settings, indent=2)) for m in methods],
        sheet=bool(questions),
        options=_options(entries),
    )
    write(folder / "index.html", page.encode())
    return folder / "index.html"


def _ordered(keys: Iterable[Key]) -> list[Key]:
    """Return generations by prompt, and those of a prompt by seed, 2 before 10."""
    return sorted(keys, key=lambda key: (key[0], not isinstance(key[1], int), key[1]))


def _options(entries: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return what the page can filter by."""
    shots = [shot for entry in entries for shot in entry["shots"] if shot]
    reasons = {word for shot in shots for word in shot["wrong"].split()}
    return {
        "category": sorted({e["category"] for e in entries if e["category"]}),
        "reason": sorted(reasons),
    }


def _entry(evaluation: Evaluation, key: Key, folder: Path) -> dict[str, Any]:
    """Return one generation as the page shows it."""
    rows = [m.rows.get(key) for m in evaluation.methods]
    known = next(row for row in rows if row is not None)
    results = filter(None, (m.method.results.get(key) for m in evaluation.methods))
    references = filter(None, (given(one, folder / "pictures") for one in results))
    return {
        "prompt": key[0],
        "seed": str(key[1]),
        "category": known["category"],
        "given": next(references, None),
        "shots": [
            row and _shot(m.method, m.method.results[key], row, folder)
            for m, row in zip(evaluation.methods, rows, strict=True)
        ],
    }


def _shot(method: Method, result: Result, row: Scores, folder: Path) -> dict[str, Any]:
    """Return one method's pictures and scores of a generation."""
    pictures = folder / "pictures"
    scores = {
        name: [row.get(f"{name}_before"), row.get(f"{name}_after")] for name in SHOWN
    }
    return {
        "before": copied(result.before, pictures),
        "after": copied(result.after, pictures),
        "scores": {k: v for k, v in scores.items() if v != [None, None]},
        "details": {k: row[k] for k in DETAILS if row.get(k) not in (None, "")},
        "wrong": row.get("wrong") or "",
        "reason": row.get("reason") or "",
        "failed": row.get("status") == "failed",
        "film": film(result, pictures),
        "command": command(method, result, folder),
    }


def command(method: Method, result: Result, folder: Path) -> str:
    """Return the command that makes one picture again, for a shell.

    It is "" for pictures made elsewhere, and for a prompt of the guide's own, which
    only a file can give.

    Args:
        method: of the picture.
        result: of the picture.
        folder: where the command runs. The page, which may travel with its results,
            writes the configuration's place in full where it is opened.
    """
    row = result.row
    if not method.settings or row.get("guide_prompt"):
        return ""
    words = ["doodl", str(method.settings.get("command", "fit"))]
    if config := configuration(method, folder):
        words += ["--config", config]
    prompts = json.dumps([result.prompt], ensure_ascii=False)
    words += ["--data.prompts", prompts if result.prompt else "null"]
    words += ["--data.seeds", f"[{row.get('seed', result.seed)}]"]
    image = row.get("image")
    images = json.dumps([_full(str(image))], ensure_ascii=False) if image else "null"
    words += ["--data.images", images, "--data.categories", "null"]
    words += ["--data.target", str(row.get("target") or "null")]
    words += ["--data.negative_prompt", str(row.get("negative_prompt") or "")]
    words += ["--results.folder", "results/again"]
    return shlex.join(words)


def configuration(method: Method, folder: Path) -> str:
    """Return the path of a method's configuration from a folder, "" without one."""
    path = method.folder / "config.yaml"
    return os.path.relpath(path, folder) if path.is_file() else ""


def _full(image: str) -> str:
    """Return the full path of a picture, or its name if it is packaged or missing."""
    return os.path.abspath(image) if os.path.isfile(image) else image
