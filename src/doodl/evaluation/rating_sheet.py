"""The folder of the blind rating sheet, in which nothing tells the methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from doodl.evaluation.folders import Method
from doodl.evaluation.pictures import copied
from doodl.evaluation.ratings import Question, sheet_id
from doodl.evaluation.templates import render
from doodl.files import write


def write_sheet(
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
    write(folder / "index.html", render("sheet", data, title="Rating sheet").encode())
