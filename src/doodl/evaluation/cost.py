"""Network calls of finished generations, from the updates that were actually made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from doodl.evaluation.layouts import number
from doodl.sampling.gradient import GradientCalls

ONE_STEP_CALL = 3.0
"""Arithmetic of a call of one-step guidance with its gradient, in forward calls."""


@dataclass(frozen=True)
class Calls:
    """Network calls of one generation.

    Args:
        plain: calls without gradient.
        gradient: calls with gradient.
        equivalents: arithmetic of all, in forward calls.
    """

    plain: int
    gradient: int
    equivalents: float


def calls_made(settings: Mapping[str, Any], row: Mapping[str, Any]) -> Calls | None:
    """Return a generation's network calls; None where they are not known.

    A call predicts one step of one latent; classifier-free guidance is part of it, for
    every method alike. An update samples one chain, some or all of whose calls the
    adjoint differentiates, and the last rendering samples it once more.

    Args:
        settings: of the results folder; empty for pictures made elsewhere.
        row: of the manifest; its column `calls`, if there is one, is believed.
    """
    given = number(row.get("calls"))
    if not math.isnan(given):
        return Calls(round(given), 0, given)
    updates = number(row.get("updates"))
    if not settings or math.isnan(updates):
        return None
    steps, made = steps_of(settings), round(updates)
    baseline = settings["model"].get("baseline") if is_prediction(settings) else None
    if is_prediction(settings):
        name = class_of(baseline)
        if name == "OneStep":
            return Calls(steps, steps, steps * (1 + ONE_STEP_CALL))
        if name == "BestOfN":  # its last update is that of the last sample
            return Calls(steps * (made + 1), 0, float(steps * (made + 1)))
        chain = chain_calls(settings) + start_calls(settings)
        return Calls(chain, 0, float(chain))
    chain = chain_calls(settings)
    other = chain * (3 if settings["model"].get("edit") else 1) + start_calls(settings)
    update = update_calls(settings)
    plain = other + made * (chain - update.differentiated)
    gradient = made * update.differentiated
    return Calls(plain, gradient, other + made * update.equivalents)


def steps_of(settings: Mapping[str, Any]) -> int:
    """Return the steps of a chain; an edit undoes only a part of it."""
    model = settings["model"]
    edit = model.get("edit") or {}
    strength = number(edit.get("init_args", edit).get("strength", 1.0))
    share = 1.0 if math.isnan(strength) else strength
    return max(1, round(int(model.get("num_steps") or 0) * share))


def chain_calls(settings: Mapping[str, Any]) -> int:
    """Return the calls of one chain: two latents in EDICT, one in DDIM."""
    single = class_of(settings["model"].get("method")) == "DDIM"
    return steps_of(settings) * (1 if single else 2)


def update_calls(settings: Mapping[str, Any]) -> GradientCalls:
    """Return the calls of one update, as the adjoint's `gradient_calls` counts them.

    An adjoint with a memory budget counts as one that repeats every call, because how
    many it did repeat depended on the machine.
    """
    chain = chain_calls(settings)
    step = chain // steps_of(settings)
    adjoint = settings["model"].get("adjoint")
    name = class_of(adjoint)
    few = {"StraightThroughAdjoint": 0, "ShortcutAdjoint": step}
    if name in few:
        return GradientCalls(chain, 0, few[name])
    return GradientCalls(chain, 0 if name == "DirectAdjoint" else chain, chain)


def start_calls(settings: Mapping[str, Any]) -> int:
    """Return the calls in which the initial noise was selected."""
    start = settings["model"].get("start") or {}
    arguments = start.get("init_args", {})
    if class_of(start) != "BestOf" or arguments["num_draws"] < 2:
        return 0
    return int(arguments["num_draws"]) * int(arguments["num_steps"])


def spent_by(settings: Mapping[str, Any], update: int) -> float:
    """Return forward-equivalent calls until an update's rendering is known."""
    if is_prediction(settings):
        return float(steps_of(settings) * (update + 1))
    first = chain_calls(settings) + start_calls(settings)
    return first + update * update_calls(settings).equivalents


def is_prediction(settings: Mapping[str, Any]) -> bool:
    """Return whether results come from `doodl predict`."""
    return settings.get("command") == "predict"


def class_of(description: Any) -> str:
    """Return the class name of a described object, or ""."""
    if isinstance(description, Mapping):
        return str(description.get("class_path", "")).rpartition(".")[2]
    return ""
