"""Draws the README's picture: what `doodl fit` made, originals above the best.

    python benchmarks/picture.py results docs/before_after.png

The first eight generations are shown, in the manifest's order; nothing is chosen.
"""

from __future__ import annotations

import argparse
import csv
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, TEXT = 192, 12, 60


def main(results: Path, target: Path, limit: int = 8) -> None:
    """Write a PNG with a column a generation: prompt, original, best."""
    with (results / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))[:limit]
    width = GAP + len(rows) * (SIDE + GAP)
    sheet = Image.new("RGB", (width, TEXT + 2 * (SIDE + GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for column, row in enumerate(rows):
        left = GAP + column * (SIDE + GAP)
        words = "\n".join(textwrap.wrap(row["prompt"], 26))
        pen.multiline_text((left, 8), words, fill="black", font=font)
        for line, name in enumerate(("original", "best")):
            picture = Image.open(results / row["folder"] / f"{name}.png")
            big = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(big, (left, TEXT + line * (SIDE + GAP)))
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("target", type=Path)
    main(**vars(parser.parse_args()))
