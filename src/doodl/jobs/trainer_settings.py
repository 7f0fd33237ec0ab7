"""Refuses trainers that would change the updates, and settings that mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import Timer

MEANINGLESS = (
    "max_epochs",
    "min_epochs",
    "min_steps",
    "limit_val_batches",
    "limit_test_batches",
    "val_check_interval",
    "sync_batchnorm",
    "gradient_clip_algorithm",
    "reload_dataloaders_every_n_epochs",
    "log_every_n_steps",
    "model_registry",
)
"""Settings of a trainer for what does not exist here."""
DEFAULTS = {"sync_batchnorm": False, "reload_dataloaders_every_n_epochs": 0}
"""Values of such settings where the user gives none, unless they are None."""
UNITS = {"weeks", "days", "hours", "minutes", "seconds"}
"""Of a trainer's max_time."""
UNFIT = {
    "BackboneFinetuning",
    "BaseFinetuning",
    "BatchSizeFinder",
    "EMAWeightAveraging",
    "GradientAccumulationScheduler",
    "LearningRateFinder",
    "StochasticWeightAveraging",
    "WeightAveraging",
}
"""Callbacks of Lightning that would change the updates; older versions lack some."""


def refuse_trainer_settings(trainer: Trainer) -> None:
    """Refuse a trainer that would change the gradient, or leave updates out.

    Raises:
        ValueError: it clips gradients, adds those of several updates, ends a batch of
            generations before its updates are done, or makes
            nothing.
    """
    for name, value in _shortened(trainer).items():
        raise ValueError(
            f"Expected no trainer.{name}, received {value}, which would end a "
            "generation before its updates are done; set model.num_updates."
        )
    if time_is_up(trainer):
        raise ValueError(
            "Expected a trainer.max_time above zero, received none in which anything "
            "can be made; give a longer one as 00:08:00:00."
        )
    if trainer.gradient_clip_val:
        raise ValueError(
            f"Expected no trainer.gradient_clip_val, received "
            f"{trainer.gradient_clip_val}; the optimiser's clip limits every element."
        )
    if trainer.accumulate_grad_batches != 1:
        raise ValueError(
            f"Expected trainer.accumulate_grad_batches of 1, received "
            f"{trainer.accumulate_grad_batches}; a training batch is one update."
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if {kind.__name__ for kind in _lightnings(callback)} & UNFIT:
            raise ValueError(
                f"Expected no callback {type(callback).__name__}, which changes how "
                "many batches an update has or what it does; leave it out."
            )


def _lightnings(callback: Any) -> list[type]:
    """Return the classes of Lightning that a callback is an object of."""
    kinds = type(callback).__mro__
    return [k for k in kinds if k.__module__.partition(".")[0] == "lightning"]


def time_is_up(trainer: Trainer) -> bool:
    """Return whether a trainer has a time limit and no time left."""
    timers = (c for c in trainer.callbacks if isinstance(c, Timer))  # type: ignore[attr-defined]
    times = (timer.time_remaining() for timer in timers)
    return any(time is not None and time <= 0 for time in times)


def _shortened(trainer: Trainer) -> dict[str, Any]:
    """Return the settings that would leave updates or generations out, by name."""
    # The first two set the others as well.
    limits: dict[str, Any] = {
        "fast_dev_run": vars(trainer)["fast_dev_run"] or None,
        "overfit_batches": vars(trainer)["overfit_batches"] or None,
        "max_steps": None if trainer.max_steps == -1 else trainer.max_steps,
    }
    for name in ("limit_train_batches", "limit_predict_batches"):
        limit = getattr(trainer, name)
        whole = isinstance(limit, float) and limit == 1
        limits[name] = None if whole else limit
    return {name: value for name, value in limits.items() if value is not None}


def refuse_meaningless_settings(given: Mapping[str, Any]) -> None:
    """Refuse settings of a trainer that nothing here reads, or that cannot be meant.

    Args:
        given: those of the command line and its configurations.

    Raises:
        ValueError: naming the setting.
    """
    time = given.get("max_time")
    if isinstance(time, Mapping) and not time.keys() <= UNITS:
        raise ValueError(
            f"Expected trainer.max_time as DD:HH:MM:SS, received {dict(time)}; write "
            "00:08:00:00 for eight hours."
        )
    nodes = given.get("num_nodes")
    if nodes is not None and nodes < 1:
        raise ValueError(f"Expected trainer.num_nodes of at least 1, received {nodes}.")
    for name in MEANINGLESS:
        if given.get(name) not in (None, DEFAULTS.get(name)):
            raise ValueError(
                f"Expected no trainer.{name}, received {given[name]}, which means "
                "nothing here: the data decides how many batches there are, "
                "model.num_updates how many updates, and callbacks what is logged; "
                "leave it out."
            )
