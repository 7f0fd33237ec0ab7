"""What stands at the top of the report: what was found, and a tile of each method."""

from __future__ import annotations

from typing import Any

from doodl.evaluation.markdown import cell, findings
from doodl.evaluation.scores import Scored
from doodl.evaluation.statistics import clustered_mean
from doodl.evaluation.summary import MEANINGS, METRICS, Evaluation, gain


def headline(evaluation: Evaluation) -> tuple[str, str]:
    """Return what was found in a few words, and the figures behind them."""
    found = findings(evaluation)
    if found:
        words, _, figures = found[0].partition(": ")
        return words, figures[:1].upper() + figures[1:]
    if len(evaluation.methods) > 1:
        return " and ".join(m.name for m in evaluation.methods), ""
    (method,), column = evaluation.methods, evaluation.headline
    change = gain(method, column.removesuffix("_after"))
    verb = "raises" if change.mean > 0 else "lowers"
    verb = verb if change.excludes_zero else "does not clearly change"
    return (
        f"{method.name} {verb} {MEANINGS[column]}" if change.known else method.name,
        "",
    )


def summary(evaluation: Evaluation) -> str:
    """Return how much was made: generations, prompts and methods."""
    prompts = {prompt for m in evaluation.methods for prompt, _ in m.rows}
    total = sum(len(m.rows) for m in evaluation.methods)
    several = len(evaluation.methods) > 1
    names = f", {len(evaluation.methods)} methods" if several else ""
    return f"{total} generations, {len(prompts)} prompts{names}"


def tile(evaluation: Evaluation, method: Scored) -> dict[str, Any]:
    """Return the headline of one method: change of the deciding score, and cost."""
    part = evaluation.headline.removesuffix("_after")
    title, factor = METRICS[evaluation.headline]
    changes = {
        k: v - b[k]
        for k, v in method.values(f"{part}_after").items()
        if k in (b := method.values(f"{part}_before"))
    }
    signs = {
        "better": sum(v > 0 for v in changes.values()),
        "equal": sum(v == 0 for v in changes.values()),
        "worse": sum(v < 0 for v in changes.values()),
    }
    lines = []
    for name, scale in (("right", 100), ("clip", 1)):
        after = clustered_mean(method.values(f"{name}_after"))
        if after.count and name != part:
            label = "right, %" if name == "right" else "CLIP score"
            lines.append((label, cell(after, scale)))
    calls = clustered_mean(method.values("equivalents"))
    if calls.count:
        flops = clustered_mean(method.values("flops"))
        size = f" ({flops.mean / 1e12:.3g} TFLOP)" if flops.count else ""
        lines.append(("network calls", f"{calls.mean:,.0f}{size}"))
    value = (
        gain(method, part)
        if changes
        else clustered_mean(method.values(evaluation.headline))
    )
    return {
        "name": method.name,
        "label": f"{title}{', change' if changes else ''}",
        "value": cell(value, factor, signed=bool(changes)).partition(" [")[0],
        "limits": cell(value, factor, signed=bool(changes)).partition(" ")[2],
        "signs": signs if changes else {},
        "lines": lines,
    }
