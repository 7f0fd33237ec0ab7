"""The figures that the shapes world is measured by, and the goal of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A bound of a figure.

    Args:
        value: the bound.
        what: the figure is, for the documentation.
        at_most: whether figures have to be below it.
    """

    value: float
    what: str
    at_most: bool = False

    def met(self, figure: float) -> bool:
        """Return whether a figure reaches the goal."""
        return figure <= self.value if self.at_most else figure >= self.value

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.value:g}"


TODAY_GFLOP = 4.58
"""A guided call of the world that shipped first, at B = 4."""
TWINS = "share of captions told from their twins"
GOALS = {
    "vae_psnr_db": Goal(35.0, "VAE, PSNR of full frames in dB"),
    "guide_twin_accuracy": Goal(0.97, f"first guide CLIP, {TWINS}"),
    "guide_b_twin_accuracy": Goal(0.97, "second guide CLIP, the same"),
    "guide_c_twin_accuracy": Goal(0.97, "third guide CLIP, the same"),
    "judge_twin_accuracy": Goal(0.97, "judge CLIP, the same"),
    "referee_twin_accuracy": Goal(0.95, "referee CLIP, the same"),
    "attributes_scene_accuracy": Goal(0.99, "attribute judge, whole scenes right"),
    "fine_accuracy": Goal(0.98, "classifier of 48 fine-grained classes"),
    "fine_judge_accuracy": Goal(0.95, "second such classifier, its judge"),
    "aesthetic_correlation": Goal(0.92, "aesthetic head, correlation with the rating"),
    "ddim50_single_object": Goal(0.98, "DDIM-50, guidance 5: one object right"),
    "ddim50_two_objects": Goal(0.75, "the same, two objects"),
    "ddim50_unusual": Goal(0.55, "the same, unusual prompts"),
    "sharpness": Goal(0.8, "sharpness of edges relative to renders"),
    "edict50_gap": Goal(0.10, "EDICT, T 50, p .93, guidance 7.5: pair's gap", True),
    "edict50_right_minus_ddim": Goal(-0.05, "the same: two objects right, less DDIM's"),
    "edict20_gap": Goal(0.05, "EDICT, T 20, p .75, guidance 5: pair's gap", True),
    "weights_mb": Goal(25.0, "all weights in MB", True),
    "guided_call_gflop": Goal(1.25 * TODAY_GFLOP, "GFLOP of a guided call, B 4", True),
}


def table(figures: Mapping[str, float]) -> str:
    """Return one line a figure, with its goal and whether it is met.

    A goal whose figure is missing, as its network is, has a line too.
    """
    lines = []
    for name in dict.fromkeys((*figures, *GOALS)):
        line = f"{name:26} {figures[name]:8.3f}" if name in figures else f"{name:35}"
        if name in GOALS:
            met = name in figures and GOALS[name].met(figures[name])
            line += f"   goal {GOALS[name]!s:9} {'met' if met else 'missed'}"
        lines.append(line)
    return "\n".join(lines)


def documentation(figures: Mapping[str, float]) -> list[str]:
    """Return the figures that have a goal as a table of Markdown."""
    lines = ["| figure | measured | goal | |", "|---|---|---|---|"]
    for name, goal in GOALS.items():
        if name in figures:
            met = "met" if goal.met(figures[name]) else "missed"
            lines.append(f"| {goal.what} | {figures[name]:.3g} | {goal} | {met} |")
    return lines
