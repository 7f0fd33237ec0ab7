"""The prompts and seeds that settings were tuned on, and those that tables use.

A digest of a row decides which part it belongs to, so that no row is in both whatever
is drawn; seeds of tuning begin at 1000. Rows that `sweep.py` draws and prompts that the
packaged configurations or the tutorials show are in no table.
"""

from __future__ import annotations

import csv
import hashlib
import re
from pathlib import Path
from typing import Literal

import yaml
from draws import Row, text_rows, thing_rows
from tasks import task

from doodl.configuration import CONFIGS

Part = Literal["tuning", "table"]
FIRST_SEED = {"tuning": 1000, "table": 0}
POOLS = {"tuning": 2007, "table": 7}
"""Seeds from which rows are drawn."""
SWEEP = 1007
"""The seed from which `sweep.py` draws its rows."""
TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"


def part_of(row: Row) -> Part:
    """Return the part that a row belongs to: a quarter is for tuning.

    Rows of one picture are in one part, whatever their prompts are.
    """
    key = _picture(row) if row.get("image") else identity(row)
    digest = hashlib.blake2b(key.encode(), digest_size=4).digest()
    return "tuning" if digest[0] % 4 == 0 else "table"


def identity(row: Row) -> str:
    """Return what makes a row: its prompt, its class, the content of its picture."""
    return "\n".join((row["prompt"], row.get("class", ""), _picture(row)))


def _picture(row: Row) -> str:
    content = Path(row["image"]).read_bytes() if row.get("image") else b""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def rows(application: str, part: Part, count: int, folder: Path) -> list[Row]:
    """Return rows of one part, without those that settings were tuned on.

    Args:
        application: name of the application.
        part: `tuning` or `table`.
        count: number of rows.
        folder: for pictures.
    """
    known = {identity(row) for row in swept(application, 16, folder / "sweep")}
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
    """Return rows of an application: those of `draws`, or what `tasks.task` draws."""
    if application == "clip_text":
        return text_rows(count, seed)
    if application == "personalization":
        return thing_rows(count, seed, folder)
    made = task(application, folder, count, "0", seed=seed)
    if application == "aesthetic_edit":
        return [{"prompt": "", "image": path} for path in made.data["images"]]
    with (folder / "prompts.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def swept(application: str, count: int, folder: Path) -> list[Row]:
    """Return the rows that `sweep.py` draws."""
    made = task(application, folder, count, "0", seed=SWEEP)
    if application == "aesthetic_edit":
        return [{"prompt": "", "image": path} for path in made.data["images"]]
    with (folder / "prompts.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def demonstrated() -> set[str]:
    """Return the prompts of the packaged configurations and of the tutorials."""
    pages = [path.read_text(encoding="utf-8") for path in TUTORIALS.glob("*.md")]
    found = {text for page in pages for text in re.findall(r'"(an? [^"\n]+)"', page)}
    for path in CONFIGS.glob("*.yaml"):
        prompts = (yaml.safe_load(path.read_text()).get("data") or {}).get("prompts")
        found |= set(prompts if isinstance(prompts, list) else [])
    return found


def seeds(part: Part, count: int) -> str:
    """Return the seeds of a part, as `0-3`."""
    first = FIRST_SEED[part]
    return f"{first}-{first + count - 1}"
