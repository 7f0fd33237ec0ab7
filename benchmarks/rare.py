"""Finds prompts of the text table's kind that plain samples almost never show.

    python benchmarks/rare.py [--count 300] [--weights FOLDER]

Of the prompts that `tables.py text` draws after its first 64, those stay of which none
of 8, then none of 32 more, then none of 160 more samples is right: a hit rate below
0.5%. The seeds of the samples are in no table. The command writes `rare.csv`, the
prompts of `tables.py rare`, for the weights of the world.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

from draws import Row
from hardest import rates
from splits import rows

from doodl.pretrained import SHAPES

FILE = Path(__file__).with_name("rare.csv")
COUNT = 300
"""Prompts among which rare ones are sought."""
BEFORE = 64
"""Prompts that are left out: the text table had them when its rare ones were sought."""
STAGES = {10_000: 8, 20_000: 32, 40_000: 160}
"""Number of samples of each prompt that is left, by the first seed."""


def candidates(count: int) -> list[str]:
    """Return prompts that are for tables, without the first `BEFORE` of them."""
    with tempfile.TemporaryDirectory() as folder:
        listed = rows("clip_text", "table", BEFORE + count, Path(folder))
    return [row["prompt"] for row in listed[BEFORE:]]


def never_right(captions: list[str], weights: Path) -> list[str]:
    """Return the captions of which no sample of any stage is right."""
    for first, seeds in STAGES.items():
        found = rates(captions, seeds, weights, first)
        captions = [caption for caption in captions if found[caption] == 0]
        print(f"{len(captions)} prompts have none of {seeds} samples right")
    return captions


def read(count: int, path: Path = FILE) -> list[Row]:
    """Return the first rows of the file.

    Args:
        count: number of rows.
        path: of the file.

    Raises:
        ValueError: the file has fewer.
    """
    with path.open(newline="", encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    if len(listed) < count:
        raise ValueError(
            f"Expected {count} prompts, '{path.name}' has {len(listed)}; find more "
            "with benchmarks/rare.py."
        )
    return listed[:count]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT, help="of candidates")
    parser.add_argument("--weights", type=Path, default=SHAPES)
    known = parser.parse_args(arguments)
    found = never_right(candidates(known.count), known.weights)
    FILE.write_text("\n".join(["prompt", *found]) + "\n", encoding="utf-8")
    print(f"Prompts: {FILE}")


if __name__ == "__main__":
    main()
