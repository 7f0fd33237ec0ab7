"""Compositions of method, rule and gradient, named as `ddim white.07 straight`.

A name is a method (`edict`, `ddim`), a rule, a gradient, and optionally crops
(`crops4`), steps (`T10`) and a first part with fewer steps (`early8x10`: 8 updates of a
chain of 10 steps).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch.optim import Optimizer

from doodl import rules
from doodl.optimizer import LatentSGD
from doodl.rules import LatentOptimizer
from doodl.sampling import adjoints
from doodl.sampling.ddim import DDIM
from doodl.sampling.edict import EDICT

MIXING = {10: 0.6, 20: 0.75, 50: 0.93}
"""p of EDICT by the number of steps."""
GRADIENTS: dict[str, Callable[[], Any]] = {
    "exact": lambda: None,
    "straight": adjoints.StraightThroughAdjoint,
}
NAMES = (
    "edict paper exact",
    "edict paper straight",
    "edict white.07 straight",
    "ddim paper straight",
    "ddim white.07 exact",
    "ddim white.07 straight",
    "ddim white.07 straight T10 crops4",
)
"""Compositions that are compared by default, besides the baselines."""


@dataclass(frozen=True)
class Composition:
    """What replaces the paper's algorithm.

    Args:
        settings: arguments of `RenderSettings`.
        optimizer: makes the optimiser.
        num_cutouts: crops of a picture.
        early: number of updates before the first rendering, and the steps of their
            chain.
    """

    settings: dict[str, Any]
    optimizer: Callable[[Iterable], Optimizer]
    num_cutouts: int
    early: tuple[int, int] = (0, 1)


def composition(name: str) -> Composition:
    """Return the composition of a name.

    Raises:
        ValueError: a word of the name is unknown.
    """
    method, rule, gradient, *others = name.split()
    steps, crops, early = 20, 16, (0, 1)
    for word in others:
        if found := re.fullmatch(r"early(\d+)x(\d+)", word):
            early = int(found[1]), int(found[2])
        elif found := re.fullmatch(r"crops(\d+)", word):
            crops = int(found[1])
        elif found := re.fullmatch(r"T(\d+)", word):
            steps = int(found[1])
        else:
            raise ValueError(f"Expected early8x10, crops4 or T10, received '{word}'.")
    settings = {
        "method": DDIM() if method == "ddim" else EDICT(MIXING[steps]),
        "adjoint": _adjoint(gradient),
        "num_steps": steps,
    }
    return Composition(settings, _optimizer(rule), crops, early)


def _adjoint(name: str) -> Any:
    if name not in GRADIENTS:
        known = ", ".join(GRADIENTS)
        raise ValueError(f"Expected a gradient among {known}, received '{name}'.")
    return GRADIENTS[name]()


def _optimizer(name: str) -> Callable[[Iterable], Optimizer]:
    """Return the optimiser of a rule such as `paper` or `white.07`."""
    found = re.fullmatch(r"([a-z]+)(\.?[\d.]*)", name)
    kind, size = (found[1], float(found[2] or 0)) if found else (name, 0.0)
    if kind == "paper":
        clip = size or 0.04
        return partial(LatentSGD, lr=40.0, clip=clip)
    if kind in ("white", "unclipped"):
        even = [rules.Clip(0.5), rules.Normalize()] if kind == "white" else []
        step = [rules.Tie(), rules.Whiten(), *even, rules.Momentum(0.5), rules.Scale()]
        after = [rules.Average(), rules.Renormalize()]
        rule = [*step, rules.Descend(), *after]
        return partial(LatentOptimizer, rule=rule, lr=size)
    raise ValueError(f"Expected a rule such as paper, white.07, received '{name}'.")
