"""The figures that the shapes world is measured by, and the goal of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A bound of a figure.

    Args:
        value: the bound.
        at_most: whether figures have to be below it.
    """

    value: float
    at_most: bool = False

    def met(self, figure: float) -> bool:
        """Return whether a figure reaches the goal."""
        return figure <= self.value if self.at_most else figure >= self.value

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.value:g}"


TODAY_GFLOP = 4.58
"""A guided call of the world that shipped first, at B = 4."""
GOALS = {
    "vae_psnr_db": Goal(35.0),
    "guide_twin_accuracy": Goal(0.97),
    "guide_b_twin_accuracy": Goal(0.97),
    "guide_c_twin_accuracy": Goal(0.97),
    "judge_twin_accuracy": Goal(0.97),
    "referee_twin_accuracy": Goal(0.95),
    "attributes_scene_accuracy": Goal(0.99),
    "fine_accuracy": Goal(0.98),
    "fine_judge_accuracy": Goal(0.95),
    "aesthetic_correlation": Goal(0.92),
    "ddim50_single_object": Goal(0.98),
    "ddim50_two_objects": Goal(0.75),
    "ddim50_unusual": Goal(0.55),
    "sharpness": Goal(0.8),
    "edict50_gap": Goal(0.10, at_most=True),
    "edict50_right_minus_ddim": Goal(-0.05),
    "edict20_gap": Goal(0.05, at_most=True),
    "weights_mb": Goal(25.0, at_most=True),
    "guided_call_gflop": Goal(1.25 * TODAY_GFLOP, at_most=True),
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
