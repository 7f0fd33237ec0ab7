"""Refuses, before any network is loaded, whatever a job cannot do."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightning import LightningModule, Trainer

from doodl.events import Events
from doodl.generation import Generation
from doodl.guides import Ensemble, Function
from doodl.guides.rehearsal import Stage, rehearse, users_guides
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.dealing import Work, count_alone
from doodl.jobs.strategy import refuse_stock_strategies
from doodl.jobs.trainer_settings import refuse_trainer_settings
from doodl.precision import placement_of, weights_of
from doodl.pretrained import load_text_to_image
from doodl.pretrained.outline import outline
from doodl.render_settings import RenderSettings

COLUMNS = {
    "guide_prompt": (
        "guide prompt",
        "doodl.guides.CLIPText",
        "the column guide_prompt",
    ),
    "target": ("class", "doodl.guides.Classifier", "data.target and the column class"),
    "image": (
        "picture",
        "doodl.guides.CLIPImage or model.edit",
        "data.images and the column image",
    ),
}
"""Fields of a generation: what a user calls one, what reads it, where it comes from."""


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
    settings.check(data.generations.one_per_row())
    _warn_of_unused_columns(settings, data)
    events = Events(trainer.callbacks)  # type: ignore[attr-defined]
    events.states()
    events.check(trainer, module)


def begin(module: Any, trainer: Trainer, data: Any) -> Work[Sequence[Generation]]:
    """Check a job, and return the batches that this process makes.

    The arguments are those of `rehearse_guides`.

    Raises:
        ValueError: in one sentence: what was expected, what was received, what to do.
    """
    preflight(module, module.settings, trainer, data)
    events = Events(trainer.callbacks)  # type: ignore[attr-defined]
    count = getattr(trainer.strategy, "count", count_alone)()
    work = Work(data.batches(), count, events.remaining)
    if work.left:
        rehearse_guides(module, trainer, data)
    return work


def _warn_of_unused_columns(settings: RenderSettings, data: PromptsAndSeeds) -> None:
    """Warn of classes, pictures and guide prompts that no guide can use."""
    guides = list(settings.watchers.values())
    members = [
        m for g in guides for m in (g.members if isinstance(g, Ensemble) else [g])
    ]
    if any(users_guides(m) for m in members if type(m) is not Function):
        return  # it may read whatever there is
    read = {field for member in members for field in member.reads}
    if settings.edit is not None:
        read.add("image")
    first = data.generations[0]
    for field, (noun, reader, option) in COLUMNS.items():
        value = getattr(first, field)
        if value is not None and field not in read:
            warnings.warn(
                f"No guide uses the {noun} '{value}'; choose {reader}, or leave "
                f"{option} out.",
                stacklevel=2,
            )


def rehearse_guides(module: Any, trainer: Trainer, data: PromptsAndSeeds) -> None:
    """Call guide and judge on two small pictures if a user wrote them.

    A guide that fails on small pictures may need the model's size; it is then called
    on pictures of that size.

    Args:
        module: the `GuidedGeneration`, whose model is not loaded yet.
        trainer: decides device and precision.
        data: the generations of the job.

    Raises:
        ValueError: the guide fails; the message gives the line and the remedy.
    """
    placement = placement_of(trainer)
    for role, guide in module.settings.watchers.items():
        stage = Stage(
            gradient=role == "guide" and not trainer.predicting,
            device=placement["device"],
            autocast=placement["autocast"],
        )
        for own in users_guides(guide):
            try:
                rehearse(own, data.generations, stage)
            except ValueError:
                size = None if own.input_size else _size(module)
                if size in (None, stage.size):
                    raise
                rehearse(own, data.generations, replace(stage, size=size))


def _size(module: Any) -> tuple[int, int] | None:
    """Return height and width of the job's pictures, or None if they are unknown."""
    height, width = module.settings.height, module.settings.width
    if height and width:
        return height, width
    try:
        if isinstance(module.pretrained, str):
            model = outline(module.pretrained, loading=module.loading)
        else:
            model = load_text_to_image(module.pretrained)
        shape = model.latent_shape(height, width)
    except (ValueError, OSError):  # reported when the model is loaded
        return None
    return shape[1] * model.factor, shape[2] * model.factor
