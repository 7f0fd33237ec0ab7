"""`evaluation.md`: what the comparison of methods found, as tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from doodl.evaluation.cost import GRADIENT_CALL
from doodl.evaluation.scores import Scored
from doodl.evaluation.statistics import (
    Interval,
    any_success,
    clustered_mean,
)
from doodl.evaluation.summary import METRICS, PAIRED, Evaluation, gain
from doodl.terminal import line, shown

WHITENESS = ("norm", "autocorrelation", "kurtosis", "low_frequencies")


def findings(evaluation: Evaluation) -> list[str]:
    """Return one sentence a pair of methods: what the headline's interval shows."""
    column = evaluation.headline
    title, factor = METRICS[column]
    points = " points" if factor == 100 else ""
    lines = []
    for first, second, seen in evaluation.pairs(column):
        a, b, found = first.name, second.name, seen
        if found.difference.mean < 0 and found.difference.excludes_zero:
            a, b, found = b, a, found.reversed
        verdict = f"{a} and {b} are not told apart"
        if found.difference.excludes_zero:
            verdict = f"{a} is ahead of {b}"
        size = cell(found.difference, factor, signed=True)
        lines.append(
            f"{verdict}: {title} of {a} − {b} is {size}{points}; {a} won "
            f"{found.wins}, tied {found.ties}, lost {found.losses}."
        )
    return lines


def markdown(evaluation: Evaluation) -> str:
    """Return `evaluation.md`."""
    methods = evaluation.methods
    sections = [
        ["# Evaluation", "", *_head(evaluation)],
        ["## Methods", "", *_methods(evaluation)],
        _section("Paired differences", _paired(evaluation)),
        _section("Right by category, %", _categories(evaluation)),
        _section("What is wrong", _reasons(methods)),
        _section("Whiteness of the latents", _whiteness(methods)),
        _section("Distance to real pictures", _distances(evaluation)),
        _section("Ratings", evaluation.ratings),
        _section("What to keep in mind", [f"- {line(n)}" for n in evaluation.notes]),
    ]
    return shown("\n\n".join("\n".join(s) for s in sections if s) + "\n")


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines] if lines else []


def _head(evaluation: Evaluation) -> list[str]:
    prompts = {prompt for m in evaluation.methods for prompt, _ in m.rows}
    counts = ", ".join(f"{m.name} {len(m.rows)}" for m in evaluation.methods)
    lines = [
        f"{len(prompts)} prompts; generations: {counts}. Values are means with 95% "
        "intervals from a bootstrap over prompts, whose seeds stay together. Calls are "
        "the network calls of a generation, counted as they were made; one with "
        f"gradient counts {GRADIENT_CALL:g}. FLOPs are those of the calls."
    ]
    found = findings(evaluation)
    return [*lines, "", *(f"- {one}" for one in found)] if found else lines


def _methods(evaluation: Evaluation) -> list[str]:
    columns = [name for name in METRICS if evaluation.has(name)]
    success = evaluation.has("right_after")
    header = ["", *(_title(name, "%") for name in columns)]
    header += ["judge's gain"] * evaluation.has("judge_before")
    header += ["prompts with any right"] * success
    rows = []
    for method in evaluation.methods:
        row = [method.name]
        for name in columns:
            row.append(cell(clustered_mean(method.values(name)), METRICS[name][1]))
        if evaluation.has("judge_before"):
            row.append(cell(gain(method, "judge"), signed=True))
        if success:
            some, of = any_success(method.values("right_after"))
            row.append(f"{some} of {of}")
        rows.append(row)
    return table(header, rows)


def _title(column: str, unit: str) -> str:
    """Return a column's title, with the unit of those that are shares."""
    title, factor = METRICS[column]
    return f"{title}, {unit}" if factor == 100 else title


def _paired(evaluation: Evaluation) -> list[str]:
    header = ["", "", "difference", "wins / ties / losses", "sign test, prompts"]
    rows = [
        [
            _title(column, "points"),
            f"{a.name} − {b.name}",
            cell(found.difference, METRICS[column][1], signed=True),
            f"{found.wins} / {found.ties} / {found.losses}",
            "–" if math.isnan(found.p) else f"p = {found.p:.2g}",
        ]
        for column in PAIRED
        for a, b, found in evaluation.pairs(column)
    ]
    return table(header, rows) if rows else []


def _categories(evaluation: Evaluation) -> list[str]:
    """Return the share of right pictures in each category, and paired differences."""
    methods, names = evaluation.methods, evaluation.categories
    if not (names and evaluation.has("right_after")):
        return []
    rows = []
    for name in names:
        means = [clustered_mean(m.values("right_after", name)) for m in methods]
        prompts = max(mean.prompts for mean in means)
        rows.append([name, str(prompts), *(cell(mean, 100) for mean in means)])
    lines = table(["category", "prompts", *(m.name for m in methods)], rows)
    differences = [
        [name, f"{a.name} − {b.name}", cell(found.difference, 100, signed=True)]
        for name in names
        for a, b, found in evaluation.pairs("right_after", name)
    ]
    header = ["category", "", "difference, points"]
    return [*lines, "", *table(header, differences)] if differences else lines


def _reasons(methods: Sequence[Scored]) -> list[str]:
    counts = {
        m.name: Counter(
            w for row in m.rows.values() for w in (row["wrong"] or "").split()
        )
        for m in methods
    }
    names = sorted({name for count in counts.values() for name in count})
    rows = [[name, *(str(counts[m.name][name]) for m in methods)] for name in names]
    return table(["", *(m.name for m in methods)], rows) if rows else []


def _whiteness(methods: Sequence[Scored]) -> list[str]:
    known = [m for m in methods if m.values("kurtosis")]
    white = ["white noise", "1", "0", "3", "1"]
    rows = [
        [m.name, *(cell(clustered_mean(m.values(name))) for name in WHITENESS)]
        for m in known
    ]
    names = [name.replace("_", " ") for name in WHITENESS]
    return table(["", *names], [white, *rows]) if rows else []


def _distances(evaluation: Evaluation) -> list[str]:
    rows = [
        [name, f"{values['fid']:.2f}", f"{values['kid']:.4f}"]
        for name, values in evaluation.distances.items()
    ]
    return table(["", "FID", "KID"], rows) if rows else []


def cell(value: Interval | None, factor: float = 1, *, signed: bool = False) -> str:
    """Return an interval as text: its mean, and its limits in brackets."""
    if value is None or math.isnan(value.mean):
        return "–"
    sign = "+" if signed else ""
    mean = value.mean * factor
    digits = 1 if abs(mean) >= 10 or factor == 100 else 3
    if abs(mean) >= 1000:
        digits = 0
    text = rounded(mean, digits, sign)
    if value.known and value.high > value.low:
        limits = (value.low * factor, value.high * factor)
        text += " [{}]".format(", ".join(rounded(x, digits, sign) for x in limits))
    return text


def rounded(value: float, digits: int, sign: str = "") -> str:
    """Return a number as text; what rounds to zero has no sign.

    Args:
        value: the number.
        digits: after the point.
        sign: `+` gives positive numbers their sign.
    """
    text = f"{value:{sign}.{digits}f}"
    if not text.strip("+-0."):
        return text.strip("+-")
    return text.replace("-", "\N{MINUS SIGN}")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table of Markdown; bars and harmful characters in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(map(_escaped, cells)) + " |" for cells in lines]


def _escaped(text: str) -> str:
    return line(text.replace("|", "\\|"))
