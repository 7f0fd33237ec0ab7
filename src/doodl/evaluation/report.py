"""The report: a folder with one page that opens from disk, and its pictures."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment

from doodl.evaluation.curves import curves
from doodl.evaluation.folders import Method
from doodl.evaluation.layouts import Result
from doodl.evaluation.markdown import cell, findings
from doodl.evaluation.pictures import copied, film
from doodl.evaluation.ratings import KEY, Question, key_of, make_sheet, sheet_id
from doodl.evaluation.scores import Scored, Scores, ordered
from doodl.evaluation.statistics import Key, clustered_mean
from doodl.evaluation.summary import MEANINGS, METRICS, Evaluation, gain
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
        _entry(evaluation, key, folder / "pictures")
        for key in ordered({key for m in evaluation.methods for key in m.rows})
    ]
    data = {
        "headline": evaluation.headline.removesuffix("_after"),
        "methods": [m.name for m in evaluation.methods],
        "entries": entries,
    }
    methods = [m.method for m in evaluation.methods]
    questions = make_sheet(methods)
    if questions:
        write(folder / KEY, key_of(questions))
        _write_sheet(questions, methods, folder)
    page = _render(
        "report",
        data,
        title="Report",
        headline=_headline(evaluation),
        summary=_summary(evaluation),
        tiles=[_tile(evaluation, method) for method in evaluation.methods],
        findings=findings(evaluation)[1:],
        notes=evaluation.notes,
        curves=curves(evaluation),
        settings=[(m.name, json.dumps(m.settings, indent=2)) for m in methods],
        sheet=bool(questions),
        options=_options(entries),
    )
    write(folder / "index.html", page.encode())
    return folder / "index.html"


def _headline(evaluation: Evaluation) -> tuple[str, str]:
    """Return what was found in a few words, and the figures behind them."""
    found = findings(evaluation)
    if found:
        words, _, figures = found[0].partition(": ")
        return words, figures[:1].upper() + figures[1:]
    if len(evaluation.methods) > 1:
        return " and ".join(m.name for m in evaluation.methods), ""
    (method,), column = evaluation.methods, evaluation.headline
    change = gain(method, column.removesuffix("_after"))
    verb = "raises" if change.mean > 0 else "lowers"
    verb = verb if change.excludes_zero else "does not clearly change"
    return (
        f"{method.name} {verb} {MEANINGS[column]}" if change.known else method.name,
        "",
    )


def _summary(evaluation: Evaluation) -> str:
    prompts = {prompt for m in evaluation.methods for prompt, _ in m.rows}
    total = sum(len(m.rows) for m in evaluation.methods)
    several = len(evaluation.methods) > 1
    names = f", {len(evaluation.methods)} methods" if several else ""
    return f"{total} generations, {len(prompts)} prompts{names}"


def _tile(evaluation: Evaluation, method: Scored) -> dict[str, Any]:
    """Return the headline of one method: change of the deciding score, and cost."""
    part = evaluation.headline.removesuffix("_after")
    title, factor = METRICS[evaluation.headline]
    changes = {
        k: v - b[k]
        for k, v in method.values(f"{part}_after").items()
        if k in (b := method.values(f"{part}_before"))
    }
    signs = {
        "better": sum(v > 0 for v in changes.values()),
        "equal": sum(v == 0 for v in changes.values()),
        "worse": sum(v < 0 for v in changes.values()),
    }
    lines = []
    for name, scale in (("right", 100), ("clip", 1)):
        after = clustered_mean(method.values(f"{name}_after"))
        if after.count and name != part:
            label = "right, %" if name == "right" else "CLIP score"
            lines.append((label, cell(after, scale)))
    calls = clustered_mean(method.values("equivalents"))
    if calls.count:
        flops = clustered_mean(method.values("flops"))
        size = f" ({flops.mean / 1e12:.3g} TFLOP)" if flops.count else ""
        lines.append(("network calls", f"{calls.mean:,.0f}{size}"))
    value = (
        gain(method, part)
        if changes
        else clustered_mean(method.values(evaluation.headline))
    )
    return {
        "name": method.name,
        "label": f"{title}{', change' if changes else ''}",
        "value": cell(value, factor, signed=bool(changes)).partition(" [")[0],
        "limits": cell(value, factor, signed=bool(changes)).partition(" ")[2],
        "signs": signs if changes else {},
        "lines": lines,
    }


def _options(entries: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return what the page can filter by."""
    shots = [shot for entry in entries for shot in entry["shots"] if shot]
    reasons = {word for shot in shots for word in shot["wrong"].split()}
    return {
        "category": sorted({e["category"] for e in entries if e["category"]}),
        "reason": sorted(reasons),
    }


def _entry(evaluation: Evaluation, key: Key, pictures: Path) -> dict[str, Any]:
    """Return one generation as the page shows it."""
    rows = [m.rows.get(key) for m in evaluation.methods]
    known = next(row for row in rows if row is not None)
    return {
        "prompt": key[0],
        "seed": str(key[1]),
        "category": known["category"],
        "shots": [
            row and _shot(m.method, m.method.results[key], row, pictures)
            for m, row in zip(evaluation.methods, rows, strict=True)
        ],
    }


def _shot(
    method: Method, result: Result, row: Scores, pictures: Path
) -> dict[str, Any]:
    """Return one method's pictures and scores of a generation."""
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
        "command": command(method, result),
    }


def command(method: Method, result: Result) -> str:
    """Return the command that makes one picture again.

    It is "" for pictures made elsewhere, and for a prompt of the guide's own, which
    only a file can give.
    """
    row = result.row
    if not method.settings or row.get("guide_prompt"):
        return ""
    words = ["doodl", str(method.settings.get("command", "fit"))]
    config = method.folder / "config.yaml"
    if config.is_file():
        words += ["--config", str(config)]
    prompts = json.dumps([result.prompt], ensure_ascii=False)
    words += ["--data.prompts", prompts if result.prompt else "null"]
    words += ["--data.seeds", f"[{row.get('seed', result.seed)}]"]
    images = json.dumps([row["image"]]) if row.get("image") else "null"
    words += ["--data.images", images, "--data.categories", "null"]
    words += ["--data.target", str(row.get("target") or "null")]
    words += ["--data.negative_prompt", str(row.get("negative_prompt") or "")]
    words += ["--results.folder", "results/again"]
    return shlex.join(words)


def _write_sheet(
    questions: Sequence[Question], methods: Sequence[Method], folder: Path
) -> None:
    """Write the folder `sheet`, which raters get: nothing in it tells the methods."""
    folder = folder / "sheet"
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    results = {
        (m.name, key[0], str(key[1])): result
        for m in methods
        for key, result in m.results.items()
    }
    shown = []
    for q in questions:
        names = [
            copied(results[side, q.prompt, q.seed].after, folder / "pictures")
            for side in (q.left, q.right)
        ]
        pair = [name[1] for name in names if name]
        shown.append({"id": q.id, "prompt": q.prompt, "pictures": pair})
    kept = {name for question in shown for name in question["pictures"]}
    for copy in (folder / "pictures").glob("[0-9a-f]" * 16 + ".png"):
        if copy.name not in kept:  # of an older sheet
            copy.unlink()
    data = {"sheet": sheet_id(questions), "questions": shown}
    write(folder / "index.html", _render("sheet", data, title="Rating sheet").encode())


def _render(name: str, data: Mapping[str, Any], **values: Any) -> str:
    """Return a page with its style, its script and its data inside."""
    page = files("doodl.evaluation") / "page"
    script = (page / f"{name}.js").read_text(encoding="utf-8")
    style = (page / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(loader=BaseLoader(), autoescape=True)
    template = environment.from_string((page / f"{name}.html").read_text("utf-8"))
    return template.render(
        data=data, script=script, style=style, digest=digest, **values
    )
