"""The prompts and seeds that settings were tuned on, and those that tables use.

A digest of a row decides which part it belongs to, so that no row is in both whatever
is drawn; seeds of tuning begin at 1000. Rows that `sweep.py` draws and prompts that the
packaged configurations show are in no table.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Literal

import yaml
from tasks import task

from doodl.configuration import CONFIGS

Part = Literal["tuning", "table"]
FIRST_SEED = {"tuning": 1000, "table": 0}
POOLS = {"tuning": 2007, "table": 7}
"""Seeds from which rows are drawn."""
SWEEP = 1007
"""The seed from which `sweep.py` draws its rows."""
Row = dict[str, str]


def part_of(row: Row) -> Part:
    """Return the part that a row belongs to: a quarter is for tuning."""
    digest = hashlib.blake2b(identity(row).encode(), digest_size=4).digest()
    return "tuning" if digest[0] % 4 == 0 else "table"


def identity(row: Row) -> str:
    """Return what makes a row: its prompt, its class, the content of its picture."""
    picture = Path(row["image"]).read_bytes() if row.get("image") else b""
    digest = hashlib.blake2b(picture, digest_size=8).hexdigest()
    return "\n".join((row["prompt"], row.get("class", ""), digest))


def rows(application: str, part: Part, count: int, folder: Path) -> list[Row]:
    """Return rows of one part, without those that settings were tuned on.

    Args:
        application: name of the application.
        part: `tuning` or `table`.
        count: number of rows.
        folder: for pictures.
    """
    known = {identity(row) for row in drawn(application, SWEEP, 16, folder / "sweep")}
    shown = demonstrated() if part == "table" else set()
    size = 4 * count
    while True:
        pool = drawn(application, POOLS[part], size, folder / f"{part}_pool")
        fitting = {
            identity(row): row
            for row in pool
            if part_of(row) == part
            and identity(row) not in known
            and row["prompt"] not in shown
        }
        if len(fitting) >= count:
            return list(fitting.values())[:count]
        size *= 2
        if size > 256 * count:
            raise ValueError(
                f"Expected {count} rows of {application} for {part}, found "
                f"{len(fitting)}."
            )


def drawn(application: str, seed: int, count: int, folder: Path) -> list[Row]:
    """Return the rows that `tasks.task` draws."""
    task(application, folder, count, "0", seed=seed)
    with (folder / "prompts.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def demonstrated() -> set[str]:
    """Return the prompts of the packaged configurations."""
    found: set[str] = set()
    for path in CONFIGS.glob("*.yaml"):
        prompts = (yaml.safe_load(path.read_text()).get("data") or {}).get("prompts")
        found |= set(prompts if isinstance(prompts, list) else [])
    return found


def seeds(part: Part, count: int) -> str:
    """Return the seeds of a part, as `0-3`."""
    first = FIRST_SEED[part]
    return f"{first}-{first + count - 1}"
