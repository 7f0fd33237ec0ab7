"""Draws the README's pictures: originals of `doodl fit` above the best images.

    python benchmarks/picture.py results docs/before_after.png
    python benchmarks/picture.py DOODL sheet.jpg --beside one_step_3 best_of_N

The sheet shows eight generations, without selection: the first seed of prompts at equal
distances in the manifest, or of all of them and then further seeds. Below them stand
the best pictures of the same generations in the folders that `--beside` names, and
above them, with `--prompts FILE`, their target classes or pictures.
"""

from __future__ import annotations

import argparse
import csv
import textwrap
from collections import Counter
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from doodl.jobs.data import PromptsAndSeeds

GAP = 12


def main(
    results: Path,
    target: Path,
    beside: list[Path],
    prompts: str | None,
    limit: int = 8,
) -> None:
    """Write a sheet with one column a generation: prompt, original, best pictures."""
    folders = (results, results, *beside)
    lines = [
        {r["id"]: folder / r["folder"] / f"{name}.png" for r in _rows(folder)}
        for folder, name in zip(folders, _names(len(folders)), strict=True)
    ]
    labels = ["original", *(f.name.replace("_", " ") for f in folders[1:])]
    asked = PromptsAndSeeds(prompts).generations if prompts else []
    if pictures := {g.id: Path(g.image) for g in asked if g.image}:
        lines.insert(0, pictures)
        labels.insert(0, "asked for")
    classes = {g.id: [f"({g.target})"] for g in asked if g.target}
    shared = set.intersection(*map(set, lines))
    rows = _spread([row for row in _rows(results) if row["id"] in shared], limit)
    if not rows:
        given = ", ".join(str(name) for name in (*folders[1:], prompts) if name)
        raise SystemExit(f"Expected generations in common, found none in {given}.")
    # Alone at three times the size of the shapes world's pictures, else at twice.
    margin, side, text = (110, 128, 96) if beside else (0, 192, 80)
    letters, size = (18, 13) if beside else (26, 15)
    titles = [
        [*textwrap.wrap(row["prompt"], letters), *classes.get(row["id"], [])]
        for row in rows
    ]
    text = text if any(titles) else GAP
    width = margin + GAP + len(rows) * (side + GAP)
    sheet = Image.new("RGB", (width, text + len(lines) * (side + GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=size)
    for column, (row, title) in enumerate(zip(rows, titles, strict=True)):
        left = margin + GAP + column * (side + GAP)
        pen.multiline_text((left, 8), "\n".join(title), fill="black", font=font)
        for line, paths in enumerate(lines):
            picture = Image.open(paths[row["id"]])
            big = picture.resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(big, (left, text + line * (side + GAP)))
    if beside:
        for line, label in enumerate(labels):
            top = text + line * (side + GAP) + side // 2
            pen.text((GAP, top), label, fill="black", font=font, anchor="lm")
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, optimize=True)


def _spread(rows: list[dict[str, str]], limit: int) -> list[dict[str, str]]:
    """Return the first rows of as many prompts as possible, in their order.

    Of more prompts than `limit`, those at equal distances are taken.
    """
    seen: Counter[str] = Counter()
    rounds = []
    for number, row in enumerate(rows):
        # Without prompts, every row is a picture of its own.
        turn = seen[row["prompt"]] if row["prompt"] else 0
        seen[row["prompt"]] += 1
        rounds.append((turn, number))
    order = [number for _, number in sorted(rounds)]
    prompts = sum(turn == 0 for turn, _ in rounds)
    if prompts > limit:
        order = [order[place * prompts // limit] for place in range(limit)]
    return [rows[number] for number in sorted(order[:limit])]


def _names(count: int) -> list[str]:
    return ["original", *["best"] * (count - 1)]


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    parser.add_argument("--prompts", help="file whose column image is shown as well")
    main(**vars(parser.parse_args()))
