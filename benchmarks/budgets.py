"""The pictures that a guide prefers within a number of network calls, as tables."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from doodl.evaluation.markdown import cell, table
from doodl.evaluation.statistics import Key, clustered_mean, compare

COLUMNS = {
    **{"guide": 1, "judge": 1, "right": 100},
    **{"whiteness": 1, "kurtosis": 1, "moved": 1, "calls": 1},
}
PAPER = "edict paper exact"
GOALS = ("guide", "judge", "right")
"""Columns of which the paper's gain is looked for."""
SAFE = (*GOALS, "whiteness")
"""Columns in which a cheaper composition may not fall behind."""
PARTS = {"a quarter": 4, "a tenth": 10}
"""Shares of the paper's calls within which compositions are compared with it."""
Scores = dict[str, float]
"""Scores of one generation at one update."""
Columns = dict[str, dict[Key, float]]
"""Scores of all generations, by column."""


@dataclass
class Run:
    """What a composition made of all generations.

    Args:
        budget: calls that it was run for.
        first: calls until the first rendering.
        each: calls of every further rendering.
        kept: the same if every graph is kept in memory.
        scores: one entry a rendering, by prompt and seed.
    """

    budget: float
    first: float
    each: float
    kept: float
    scores: dict[Key, list[Scores]]


def best(made: Run, budget: float, each: float) -> Columns:
    """Return the scores of the guide's favourites within a budget, by column."""
    found: Columns = {name: {} for name in COLUMNS}
    for key, line in made.scores.items():
        count = 1 + int((budget - made.first) // each) if each else 1
        if made.first > budget:
            continue
        some = line[:count]
        chosen = max(some, key=lambda row: row["guide"])
        spent = made.first + each * (len(some) - 1)
        for name in COLUMNS:
            found[name][key] = spent if name == "calls" else chosen[name]
    return found


def curve(made: Run, each: float, column: str) -> list[tuple[float, float]]:
    """Return calls and the mean of the guide's favourites, after every rendering."""
    count = max(map(len, made.scores.values()))
    budgets = [made.first + each * number for number in range(count)]
    means = [fmean(best(made, b, each)[column].values()) for b in budgets]
    return list(zip(budgets, means, strict=True))


def reached(made: Run, each: float, column: str, goal: float) -> float | None:
    """Return the calls after which a curve reaches a goal; None if it never does."""
    found = (calls for calls, mean in curve(made, each, column) if mean >= goal)
    return next(found, None)


def gains(runs: dict[str, Run]) -> str:
    """Return what reaches the paper's scores, and with how many calls.

    The paper's rule has them after all of its updates, at the cost of its own curve.
    Calls that are repeated only because no graph was kept do not count.
    """
    paper = runs[PAPER]
    columns = best(paper, paper.budget, paper.kept)
    updates = max(map(len, paper.scores.values())) - 1
    calls = fmean(columns["calls"].values())
    named = {
        f"{name}, graphs kept" if made.kept < made.each else name: made
        for name, made in runs.items()
    }
    lines = [
        f"Calls a picture to what {updates} updates of the paper's rule reach, "
        f"which take {calls:.0f}:",
        "",
        *_reaching(named, paper, columns),
    ]
    for words, part in PARTS.items():
        rows = _within(named, columns, calls / part)
        head = f"Within {words} of these calls, less those {updates} updates:"
        lines += ["", head, "", *rows]
    return "\n".join(lines)


def _reaching(runs: dict[str, Run], paper: Run, columns: Columns) -> list[str]:
    """Return a table of the calls after which each run has the scores of `columns`."""
    goals = {name: fmean(columns[name].values()) for name in GOALS}
    costs = {name: reached(paper, paper.kept, name, goals[name]) for name in GOALS}
    rows = []
    for name, made in runs.items():
        cells = []
        for column, goal in goals.items():
            calls, usual = reached(made, made.kept, column, goal), costs[column]
            if calls is None or usual is None:
                cells.append(f"not within {made.budget}")
            else:
                cells.append(f"{calls:.0f} ({usual / calls:.1f} × fewer)")
        rows.append([name, *cells])
    return table(["", *(_goal(name, goals[name]) for name in GOALS)], rows)


def _within(runs: dict[str, Run], columns: Columns, budget: float) -> list[str]:
    """Return a table of the differences between runs within a budget and `columns`."""
    rows = []
    for name, made in runs.items():
        some = best(made, budget, made.kept)
        if some["calls"]:
            pairs = {c: (some[c], columns[c]) for c in SAFE}
            pairs["guide − judge"] = _gap(some), _gap(columns)
            cells = [
                cell(compare(*pair).difference, COLUMNS.get(c, 1), signed=True)
                for c, pair in pairs.items()
            ]
            rows.append([name, *cells, f"{fmean(some['calls'].values()):.0f}"])
    return table(["", *SAFE, "guide − judge", "calls"], rows)


def _gap(columns: Columns) -> dict[Key, float]:
    """Return by how much the guide's score exceeds the judge's."""
    judge = columns["judge"]
    return {key: value - judge[key] for key, value in columns["guide"].items()}


def _goal(name: str, value: float) -> str:
    return f"{name} {value:.1%}" if COLUMNS[name] == 100 else f"{name} {value:.3f}"


def report(runs: dict[str, Run], budgets: Sequence[int]) -> str:
    """Return a table of Markdown for every budget, the highest guide scores first."""
    lines = [f"{len(next(iter(runs.values())).scores)} generations"]
    for budget in budgets:
        columns = {n: best(made, budget, made.each) for n, made in runs.items()}
        for name, made in runs.items():
            if made.kept < made.each:
                columns[f"{name}, graphs kept"] = best(made, budget, made.kept)
        columns = {name: found for name, found in columns.items() if found["calls"]}
        paper = columns.get(PAPER, {}).get("right", {})
        means = {n: [clustered_mean(c[k]) for k in COLUMNS] for n, c in columns.items()}
        order = sorted(means, key=lambda name: -means[name][0].mean)
        rows = [
            [
                name,
                *(
                    cell(mean, factor)
                    for mean, factor in zip(means[name], COLUMNS.values(), strict=True)
                ),
                cell(
                    compare(columns[name]["right"], paper).difference, 100, signed=True
                ),
            ]
            for name in order
        ]
        header = ["", *COLUMNS, f"right, less {PAPER}"]
        lines += ["", f"### {budget} calls an image", "", *table(header, rows)]
    return "\n".join(lines)


def load(path: Path, keys: Collection[Key]) -> Run | None:
    """Return a run of these generations from its file, or None if it lacks any."""
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    made = {(p, s): line for p, s, line in content["scores"] if (p, s) in keys}
    return Run(**content | {"scores": made}) if len(made) == len(keys) else None


def save(made: Run, path: Path) -> None:
    """Write a run into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = [[*key, line] for key, line in made.scores.items()]
    part = path.with_suffix(".part")
    part.write_text(json.dumps({**vars(made), "scores": scores}))
    part.replace(path)
