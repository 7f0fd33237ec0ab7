"""The folder of the blind rating sheet, in which nothing tells the methods."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from doodl.evaluation.folders import Method
from doodl.evaluation.pictures import copied, given
from doodl.evaluation.ratings import Question, sheet_id
from doodl.evaluation.templates import render
from doodl.files import write


def write_sheet(
    questions: Sequence[Question], methods: Sequence[Method], folder: Path
) -> None:
    """Write the folder `sheet`, which raters get: nothing in it tells the methods.

    Each question shows two results, and the picture that was given with the prompt,
    for example of the thing that is asked for, where there is one.

    Args:
        questions: of the sheet.
        methods: whose results they compare.
        folder: of the report.
    """
    folder = folder / "sheet"
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    results = {
        (m.name, key[0], str(key[1])): result
        for m in methods
        for key, result in m.results.items()
    }
    shown: list[dict[str, Any]] = []
    for q in questions:
        pair = [results[side, q.prompt, q.seed] for side in (q.left, q.right)]
        copies = [copied(one.after, folder / "pictures") for one in pair]
        question = {
            "id": q.id,
            "prompt": pair[0].prompt or pair[1].prompt,
            "pictures": [copy[-1] for copy in copies if copy],
        }
        references = filter(None, (given(one, folder / "pictures") for one in pair))
        shown.append(question | {"given": next(references, None)})
    kept = {name for one in shown for name in [*one["pictures"], one["given"]]}
    for copy in (folder / "pictures").glob("[0-9a-f]" * 16 + ".*"):
        if copy.name not in kept:  # of an older sheet
            copy.unlink()
    # A browser keeps answers for these pictures, not for others of the same names.
    content = hashlib.blake2b(json.dumps(shown).encode(), digest_size=8).hexdigest()
    data = {"sheet": sheet_id(questions), "content": content, "questions": shown}
    write(folder / "index.html", render("sheet", data, title="Rating sheet").encode())
