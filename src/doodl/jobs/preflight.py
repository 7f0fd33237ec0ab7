"""Refuses, before any network is loaded, whatever a job cannot do."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer

from doodl.events import Events
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.strategy import refuse_stock_strategies
from doodl.precision import weights_of
from doodl.render_settings import RenderSettings


def preflight(
    module: LightningModule, settings: RenderSettings, trainer: Trainer, data: Any
) -> None:
    """Check a job; `setup` and `--dry-run` call it.

    Args:
        module: the `GuidedGeneration`, whose networks are not loaded yet.
        settings: how it makes and scores pictures.
        trainer: with all its callbacks.
        data: what the trainer was given as its datamodule.

    Raises:
        ValueError: in one sentence: what was expected, what was received, what to do.
    """
    if not isinstance(data, PromptsAndSeeds):
        raise ValueError(
            f"Expected the data PromptsAndSeeds, received {type(data).__name__}; pass "
            "trainer.fit(module, datamodule=PromptsAndSeeds(...))."
        )
    refuse_trainer_settings(trainer)
    refuse_stock_strategies(trainer.strategy)
    weights_of(trainer)
    settings.check(data.generations)
    events = Events(trainer.callbacks)  # type: ignore[attr-defined]
    events.states()
    events.check(trainer, module)


def refuse_trainer_settings(trainer: Trainer) -> None:
    """Refuse a trainer that would change the gradient, or leave updates out.

    Raises:
        ValueError: it clips gradients, adds those of several updates, or ends a batch
            of generations before its updates are done.
    """
    limit = trainer.limit_train_batches
    whole = isinstance(limit, float) and limit == 1
    # The first two set the others as well.
    early: dict[str, Any] = {
        "fast_dev_run": vars(trainer)["fast_dev_run"] or None,
        "overfit_batches": vars(trainer)["overfit_batches"] or None,
        "max_steps": None if trainer.max_steps == -1 else trainer.max_steps,
        "limit_train_batches": None if whole else limit,
    }
    for name, value in early.items():
        if value is not None:
            raise ValueError(
                f"Expected no trainer.{name}, received {value}, which would end a "
                "generation before its updates are done; set model.num_updates."
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
