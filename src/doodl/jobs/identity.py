"""The identity of a results folder: all that its images and scores depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning import Trainer

from doodl.description import describe
from doodl.jobs.sources import sources
from doodl.optimizer import check_optimizer

if TYPE_CHECKING:
    from doodl.guided_generation import GuidedGeneration


def identity(
    module: GuidedGeneration, trainer: Trainer, command: str
) -> dict[str, Any]:
    """Return all that a job's images and scores depend on, as JSON can hold it.

    How networks are executed changes an image by round-off at most and is left out.

    Args:
        module: its values and those of guide, judge and the other parts.
        trainer: its precision, and its callbacks that change images.
        command: `fit` or `predict`.
    """
    settings = module.settings
    optimizer = check_optimizer(module.make_optimizer, editing=False)
    parts = ("guide", "judge", "verdict", "method", "adjoint", "edit")
    values = ("num_steps", "guidance_scale", "guidance_interval", "height", "width")
    callbacks = [c for c in trainer.callbacks if changes_images(c)]  # type: ignore[attr-defined]
    own = sources(
        [*(getattr(settings, n) for n in parts), module.make_optimizer, module.baseline]
        + callbacks
    )
    return {
        "command": command,
        "model": {
            "pretrained": _name(module.pretrained),
            "loading": module.loading and vars(module.loading),
            "num_updates": module.num_updates,
            "baseline": describe(module.baseline),
            "optimizer": describe(type(optimizer)),
            **{f"optimizer.{k}": describe(v) for k, v in optimizer.settings.items()},
            **{name: describe(getattr(settings, name)) for name in parts},
            **{name: getattr(settings, name) for name in values},
            "latents_dtype": str(settings.latents_dtype).removeprefix("torch."),
        },
        "precision": str(trainer.precision_plugin.precision),
        "callbacks": [describe(callback) for callback in callbacks],
        **({"sources": own} if own else {}),
    }


def _name(pretrained: Any) -> str:
    """Return the name of a model, or of the checkpoint that a pipeline came from."""
    if isinstance(pretrained, str):
        return pretrained
    name = pretrained.config.get("_name_or_path")  # a path if it was loaded by one
    return str(name) if name else type(pretrained).__name__


def changes_images(callback: Any) -> bool:
    """Return whether results depend on a callback: its attribute `changes_images`.

    Without that attribute, Lightning's callbacks only watch, and others may change
    anything.
    """
    foreign = type(callback).__module__.partition(".")[0] != "lightning"
    return getattr(callback, "changes_images", foreign)
