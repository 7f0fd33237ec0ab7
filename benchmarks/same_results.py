"""Compares results folders of two versions of the code, bit for bit.

    python benchmarks/same_results.py results/before results/after

Pictures are compared by their pixels, latents by their numbers, scores and manifests by
their text. Seconds, settings and logs differ from run to run and are left out. It exits
with status 1 when anything differs or is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence
from safetensors.numpy import load_file

TEXTS = ("metrics.jsonl", "summary.json", "manifest.csv")
KINDS = (".png", ".safetensors")


def main() -> None:
    """Print what differs, what is missing, and how many files of a kind are equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    known = parser.parse_args()
    equal, other = Counter[str](), 0
    for path in sorted(known.before.rglob("*")):
        if path.suffix not in KINDS and path.name not in TEXTS:
            continue
        name = path.relative_to(known.before)
        copy = known.after / name
        if copy.is_file() and same(path, copy):
            equal[path.suffix] += 1
        else:
            other += 1
            print("differs" if copy.is_file() else "missing", name)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(equal.items()))
    print(f"{sum(equal.values())} files are equal ({kinds}), {other} are not")
    sys.exit(bool(other))


def same(path: Path, copy: Path) -> bool:
    """Return whether two files of a kind hold the same."""
    if path.suffix == ".png":
        one, two = (frames(p) for p in (path, copy))
        return len(one) == len(two) and all(map(np.array_equal, one, two))
    if path.suffix == ".safetensors":
        first, second = load_file(path), load_file(copy)
        return first.keys() == second.keys() and all(
            first[k].dtype == second[k].dtype and np.array_equal(first[k], second[k])
            for k in first
        )
    return path.read_bytes() == copy.read_bytes()


def frames(path: Path) -> list[np.ndarray]:
    """Return the pixels of each frame of a picture."""
    with Image.open(path) as file:
        return [
            np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(file)
        ]


if __name__ == "__main__":
    main()
