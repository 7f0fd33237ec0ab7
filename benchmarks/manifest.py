"""Prints the share of a job's time that updating `manifest.csv` takes.

    python benchmarks/manifest.py [--generations 10000] [--seconds 10] [--processes 1]

A process of the job finishes a generation every `--seconds`. The benchmark writes their
summaries and adds these seconds to the clock instead of waiting; the time that the
tables take is measured. With several processes, the other processes' generations appear
at the same rate, and the figures are those of one process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from doodl.jobs import tables


def summary(number: int) -> dict[str, Any]:
    """Return a row of the manifest."""
    row: dict[str, Any] = dict.fromkeys(tables.COLUMNS, 0.123456789)
    name = f"a-green-heart-above-a-red-ring-{number:06d}"
    row |= {"id": name, "folder": name, "seed": number, "status": "finished"}
    return row | {"prompt": "a green heart above a red ring", "reason": None}


def save(folder: Path, number: int) -> None:
    """Write the two small files that the tables read."""
    row = summary(number)
    made = folder / row["id"]
    made.mkdir()
    (made / tables.TIMING).write_text(json.dumps({"seconds": 10.0}))
    (made / tables.SUMMARY).write_text(json.dumps(row, indent=2))


def measure(folder: Path, count: int, seconds: float, processes: int) -> list[float]:
    """Return the seconds of each call of one process; the last is that at its end."""
    clock = SimpleNamespace(ahead=0.0)
    tables.time = SimpleNamespace(  # type: ignore[assignment]
        monotonic=lambda: time.monotonic() + clock.ahead
    )
    kept, spent = tables.Tables(folder), []
    for number in range(count):
        save(folder, number)
        if number % processes:  # another process made it
            continue
        clock.ahead += seconds
        began = time.monotonic()
        kept.refresh()
        spent.append(time.monotonic() - began)
    began = time.monotonic()
    kept.write()
    return [*spent, time.monotonic() - began]


def main() -> None:
    """Measure in a temporary folder and print a row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="per generation")
    parser.add_argument("--processes", type=int, default=1)
    known = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spent = measure(Path(folder), known.generations, known.seconds, known.processes)
    builds = sum(seconds > 1e-4 for seconds in spent)
    job = known.seconds * known.generations / known.processes
    print(
        f"{known.generations} generations of {known.seconds:g} s on "
        f"{known.processes} processes: {builds} builds, {sum(spent):.1f} s of "
        f"{job:.0f} s = {sum(spent) / job:.3%}; the last took {spent[-1]:.2f} s"
    )


if __name__ == "__main__":
    main()
