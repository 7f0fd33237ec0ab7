"""Finished results, of this package or made elsewhere, as methods to compare."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doodl.evaluation.completeness import (
    missing_pictures,
    unfinished,
    unreadable_summaries,
)
from doodl.evaluation.layouts import Iterate, Result, bare, listed, own
from doodl.evaluation.records import latents, size_of, unreadable, updates
from doodl.evaluation.statistics import Key
from doodl.files import named
from doodl.terminal import line

RESTORE = "restore the file, or remove it to score the pictures without their settings"


@dataclass
class Method:
    """All results of one folder.

    Args:
        name: name of the folder, made unique among the folders compared.
        folder: its path.
        results: by generation, so that methods can be paired.
        settings: what the images depend on; empty for pictures made elsewhere.
        notes: sentences on what is incomplete.
        iterate: which picture of every generation was taken, as in `layouts.own`.
    """

    name: str
    folder: Path
    results: dict[Key, Result]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    iterate: Iterate | None = None

    @property
    def prompts(self) -> int:
        """Number of different prompts."""
        return len({prompt for prompt, _ in self.results})


def read_methods(
    folders: Sequence[str | Path],
    categories: Mapping[str, str] | None = None,
    iterate: Iterate | None = None,
) -> list[Method]:
    """Return the results of several folders, whose generations can be paired.

    Args:
        folders: paths; each folder is one method, named after it.
        categories: category of each prompt, in place of the manifests'.
        iterate: which picture of a generation is its result, as in `layouts.own`.

    Raises:
        ValueError: a folder has no results, pictures of two sizes, is named twice, or
            has no generation in common with any other; or no prompt has a category.
    """
    paths = [named(folder, "a folder of results") for folder in folders]
    twice = [p for p, n in Counter(map(os.path.realpath, paths)).items() if n > 1]
    if twice:
        raise ValueError(
            f"Expected different folders, received '{twice[0]}' twice; leave one out."
        )
    names = unique_names(paths)
    methods = [
        read_method(path, name, categories or {}, iterate)
        for path, name in zip(paths, names, strict=True)
    ]
    prompts = {prompt for method in methods for prompt, _ in method.results}
    if categories and not prompts & categories.keys():
        raise ValueError(
            "Expected categories of the results' prompts, such as "
            f"'{min(prompts)}', received those of others, such as "
            f"'{min(categories)}'; write the prompts as in the results."
        )
    for method in methods:
        others = [m for m in methods if m is not method]
        if others and not any(method.results.keys() & m.results.keys() for m in others):
            raise ValueError(
                f"Expected methods with the same prompts and seeds, but "
                f"'{method.folder}' has no generation in common with "
                f"'{others[0].folder}'; leave one out, or make both with the same ones."
            )
    return methods


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Return names of folders, with as many parents as tell them apart.

    They are shown in tables and on terminals, and so are single lines without harmful
    characters.
    """
    parts = [Path(os.path.realpath(path)).parts for path in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = [line("/".join(part[-depth:])) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [line(path) for path in paths]


def read_method(
    folder: Path,
    name: str,
    categories: Mapping[str, str],
    iterate: Iterate | None = None,
) -> Method:
    """Return the results of one folder.

    Raises:
        ValueError: it is missing, has no results, has pictures of two sizes, or one of
            its files is damaged.
    """
    if not os.path.isdir(folder):
        raise ValueError(
            f"Expected a folder of results, received '{folder}'; there is none of that "
            "name."
        )
    settings, notes = _settings(folder), []
    if settings:
        found = list(own(folder, iterate))
        notes += unreadable_summaries(folder, name, found)
        notes += unfinished(folder, name, found)
    elif (folder / "manifest.csv").is_file():
        found = list(listed(folder))
    else:
        found = list(bare(folder))
    if not found:
        raise ValueError(
            f"'{folder}' has no finished generation; expected a folder of `doodl fit` "
            "or `doodl predict`, a manifest.csv with the columns prompt and picture, "
            "or pictures with prompts.txt."
        )
    if not any(result.after for result in found):
        raise ValueError(
            f"Expected pictures in '{folder}', found none of the {len(found)} that it "
            "lists; check their paths."
        )
    notes += missing_pictures(name, found)
    _check_files(found)
    _check_sizes(folder, found)
    named = [_with_category(result, categories) for result in found]
    return Method(name, folder, _keyed(named), settings, notes, iterate)


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "settings.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise unreadable(path) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Could not read '{path}': {error}; {RESTORE}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError(
            f"Expected the settings of a model in '{path}', received other content; "
            f"{RESTORE}."
        )
    return content


def _check_files(results: Sequence[Result]) -> None:
    """Refuse damaged files before anything is scored."""
    for result in results:
        updates(result.metrics)
        if result.latents is not None:
            latents(result.latents, "")  # only what the file contains


def _check_sizes(folder: Path, results: Sequence[Result]) -> None:
    sizes: dict[tuple[int, int], Path] = {}
    for path in (p for r in results for p in (r.before, r.after) if p):
        sizes.setdefault(size_of(path), path)
    if len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise ValueError(
            f"Expected pictures of one size in '{folder}', found {one[0]} x {one[1]} "
            f"('{first.name}') and {other[0]} x {other[1]} ('{second.name}'); give "
            "each size a folder of its own."
        )


def _with_category(result: Result, categories: Mapping[str, str]) -> Result:
    if result.prompt not in categories:
        return result
    return Result(**{**vars(result), "category": categories[result.prompt]})


def _keyed(results: Sequence[Result]) -> dict[Key, Result]:
    """Key results by prompt and seed, and by name where that is not enough.

    Without a prompt the picture that is edited takes the prompt's part, so that its
    seeds stay together; without both it is the name.
    """
    keys = [(r.prompt or r.image or r.name, r.seed) for r in results]
    counts = Counter(keys)
    return {
        (prompt, seed if counts[prompt, seed] == 1 else f"{seed} {r.name}"): r
        for (prompt, seed), r in zip(keys, results, strict=True)
    }
