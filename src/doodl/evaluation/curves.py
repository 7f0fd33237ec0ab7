"""Curves of guide and judge over network calls, as SVG in the page's colours."""

from __future__ import annotations

import io
import math
import re
from collections import defaultdict
from statistics import fmean
from typing import Any

from doodl.evaluation.cells import number
from doodl.evaluation.cost import calls_made
from doodl.evaluation.favourites import reported, reports_last
from doodl.evaluation.layouts import Result
from doodl.evaluation.scores import Scored
from doodl.evaluation.statistics import Interval, Key, clustered_mean
from doodl.evaluation.summary import Evaluation

COLOURS = ("#2f6fde", "#d9622b", "#2f9e6e", "#9b51c9", "#c9356f", "#8a7a18")
"""Of methods, in their order; each stands for a colour of the page and its theme."""
INK = "#123456"
"""Stands for the page's text colour, which changes with its theme."""
MOST_POINTS = 60
"""Updates of a curve at most, beside the last one."""
Point = tuple[float, Interval]


def curves(evaluation: Evaluation) -> list[str]:
    """Return SVG drawings, one for each score that was recorded over updates.

    Scores of different guides, or of different judges, are not drawn on one axis.
    """
    drawn = []
    for part in ("guide", "judge"):
        if not evaluation.comparable(f"{part}_after"):
            continue
        lines = [(m.name, points(m, part)) for m in evaluation.methods]
        if any(len(found) > 1 for _, found in lines):
            drawn.append(_draw(part, lines))
    return drawn


def caption(evaluation: Evaluation) -> str:
    """Return which picture the scores of a curve belong to."""
    ends = {
        m.name: {reports_last(r) for r in m.method.results.values() if reported(r)}
        for m in evaluation.methods
    }
    last = [name for name, found in ends.items() if True in found]
    favourite = "Scores are those of the picture that the guide prefers so far"
    if not any(False in found for found in ends.values()):
        shown = "Scores are those of the picture after each update"
    elif last:
        shown = f"{favourite}; those of {' and '.join(last)} of the last picture"
    else:
        shown = favourite
    return (
        f"{shown}, so that a curve ends at the method's result. Bands and bars are 95% "
        "intervals; a method that records no updates is one point."
    )


def points(method: Scored, part: str) -> list[Point]:
    """Return the mean score after every recorded update, over calls spent.

    The score is that of the picture that would be the result after this update, so
    that a curve ends at the method's result. A generation that ended early keeps it. A
    method without a record of its updates is one point: its result at its cost.
    """
    records = {
        key: _record(result, part)
        for key, result in method.method.results.items()
        if result.metrics is not None
    }
    records = {key: record for key, record in records.items() if record}
    if not any(record.keys() - {0} for record in records.values()):
        value = clustered_mean(method.values(f"{part}_after"))
        calls = clustered_mean(method.values("equivalents"))
        return [(calls.mean, value)] if value.count and calls.count else []
    known_at = sorted({update for record in records.values() for update in record})
    step = max(1, math.ceil(len(known_at) / MOST_POINTS))
    kept = known_at[::step] + known_at[-1:] * (len(known_at) % step != 1 and step > 1)
    scores: dict[int, dict[Key, float]] = defaultdict(dict)
    spent: dict[int, list[float]] = defaultdict(list)
    for key, record in records.items():
        known: tuple[float, float] | None = None
        for update in known_at:
            known = record.get(update, known)
            if known is not None:
                made, scores[update][key] = known
                spent[update].append(made)
    return [(fmean(spent[u]), clustered_mean(scores[u])) for u in kept]


def _record(result: Result, part: str) -> dict[int, tuple[float, float]]:
    """Return calls spent and score after each update, where both are known."""
    found = {}
    for line, best in reported(result):
        calls, value = calls_made(line), number(best.get(part))
        if calls is not None and not math.isnan(value):
            found[line["update"]] = calls.equivalents, value
    return found


def _draw(part: str, lines: list[tuple[str, list[Point]]]) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    options: dict[str, Any] = {"svg.fonttype": "none", "svg.hashsalt": part}
    options |= {"font.family": "sans-serif", "font.size": 11}
    with rc_context(options):
        figure = Figure(figsize=(4.9, 3.0), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for place, (_, found) in enumerate(lines):
            _line(axes, found, place)
        axes.set_title(f"{part}'s score", loc="left", color=INK, fontsize=11)
        axes.set_xlabel("network calls a picture", color=INK)
        axes.tick_params(colors=INK, length=0)
        axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.8)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(INK)
        axes.spines["bottom"].set_alpha(0.3)
        text = io.StringIO()
        options = {"format": "svg", "transparent": True, "metadata": {"Date": None}}
        figure.savefig(text, **options)
    return _themed(text.getvalue(), part)


def _line(axes: Any, found: list[Point], place: int) -> None:
    """Draw a method's points; more methods than colours have dashes."""
    if not found:
        return
    colour = COLOURS[place % len(COLOURS)]
    line, point = ("--", "D") if place >= len(COLOURS) else ("-", "o")
    x, values = zip(*found, strict=True)
    mean = [value.mean for value in values]
    low = [value.low if value.known else value.mean for value in values]
    high = [value.high if value.known else value.mean for value in values]
    if len(found) == 1:
        error = [[mean[0] - low[0]], [high[0] - mean[0]]]
        axes.errorbar(x, mean, error, fmt=point, color=colour, capsize=3)
    else:
        axes.plot(x, mean, line, color=colour, linewidth=2)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _themed(text: str, part: str) -> str:
    """Return the drawing alone, with the page's colours and font.

    Ids get a prefix, because two drawings stand in one page.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(id="|href="#|url\(#)', rf"\1{part}-", text)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"font-size: [^;]*; font-family: [^;]*; ", "", text)
    text = text.replace(INK, "currentColor")
    for place, colour in enumerate(COLOURS):
        text = text.replace(colour, f"var(--c{place})")
    label = f'<svg role="img" aria-label="{part} over network calls"'
    return text.replace("<svg", label, 1)
