"""Draws what compositions reach over network calls."""

from __future__ import annotations

from pathlib import Path

from budgets import Run, curve

PANELS = {"guide": "guide's score", "right": "share of right pictures"}


def draw(runs: dict[str, Run], path: Path) -> None:
    """Draw the curves of all runs, one panel for each column of `PANELS`.

    Args:
        runs: by name; a run of one rendering is a point.
        path: of the picture; its suffix decides the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, len(PANELS))
    for panel, (column, title) in zip(axes, PANELS.items(), strict=True):
        for name, made in runs.items():
            calls, means = zip(*curve(made, made.kept, column), strict=True)
            style = "o" if len(calls) == 1 else "-"
            panel.plot(calls, means, style, label=name, linewidth=1.8)
        panel.set_title(title, loc="left", fontsize=11)
        panel.set_xlabel("network calls a picture")
        panel.set_xlim(left=0)
        panel.grid(axis="y", alpha=0.2)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(length=0)
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside right center",
        frameon=False,
        fontsize=8,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
