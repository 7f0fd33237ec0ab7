"""What callbacks are told of a batch of generations, what they are asked, and when.

The module calls, in this order:

| method | when |
|---|---|
| `check` | in the preflight, before any network is loaded |
| `views`, `remaining` | in `setup`, and `remaining` again for every further batch |
| `on_generations_start` | when a batch begins |
| `saved_state` | right after that, to go on with a batch that was interrupted |
| `filter`, `stops` | after every rendering: what may be shown, what ends early |
| `on_rendered` | for update 0 to N, exactly once each, in `fit` |
| `on_state` | after every update but the last, with all that a restart needs |
| `on_generations_end` | when all generations of the batch have ended |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from doodl.description import Described
from doodl.generation import Generation
from doodl.guides.views import FullFrame, Views
from doodl.trajectory import Rendering, Trajectory

PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
"""Types that a state may hold beside tensors and containers."""


class GenerationCallback(Described, Callback):
    """A Lightning callback that also follows batches of generations.

    What a callback changes it returns; nothing is written onto the module.

    Attributes:
        changes_images: whether results depend on the callback, so that its class and
            its arguments belong to the settings of a results folder.
    """

    changes_images: ClassVar[bool] = True

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse what the callback cannot work with, before any network is loaded.

        Args:
            trainer: the trainer, with all its callbacks.
            module: the `GuidedGeneration`, with its `settings`.

        Raises:
            ValueError: in one sentence.
        """

    def views(self) -> Views | None:
        """Return how the guide looks at pictures in `fit`; None for no opinion."""

    def remaining(self, batch: Sequence[Generation]) -> list[Generation]:
        """Return the generations of a batch that still have to be made."""
        return list(batch)

    def saved_state(self, batch: Sequence[Generation]) -> dict[str, Any] | None:
        """Return what `on_state` was given for an interrupted batch, if it is kept."""

    def filter(self, rendering: Rendering) -> Rendering:
        """Return a rendering that may be kept and shown, possibly with other pixels."""
        return rendering

    def stops(self, trajectory: Trajectory, rendering: Rendering) -> Mapping[int, str]:
        """Return why generations of the batch end now, by their position in it."""
        return {}

    def on_generations_start(self, batch: Sequence[Generation]) -> None:
        """Begin a batch."""

    def on_rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        """Take note of the pictures of one update.

        Args:
            trajectory: the batch's record, which has taken in the rendering.
            rendering: pictures and scores, after all filters.
            terms: losses and properties of the latents by name, (B,) each; empty for
                the result, whose loss is never computed.
        """

    def on_state(self, state: Mapping[str, Any]) -> None:
        """Take note of all that the batch needs to go on after the last update.

        Args:
            state: plain values and tensors; `update` is the number of updates done.
        """

    def on_generations_end(self, trajectory: Trajectory) -> None:
        """End a batch, all of whose generations are finished, stopped or failed."""


class Events:
    """Asks and tells those of a trainer's callbacks that follow generations.

    Args:
        callbacks: all of the trainer's; the others only keep their state in `states`.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        # Lightning's own callbacks, as its timer, count for the process.
        self.own = [c for c in callbacks if not _is_lightnings(c)]
        self.followers = [c for c in callbacks if isinstance(c, GenerationCallback)]

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Let every callback refuse what it cannot work with."""
        for callback in self.followers:
            callback.check(trainer, module)

    def views(self) -> Views:
        """Return how the guide looks at pictures: the last opinion, or whole."""
        found = [v for c in self.followers if (v := c.views()) is not None]
        return found[-1] if found else FullFrame()

    def remaining(self, batch: Sequence[Generation]) -> list[Generation]:
        """Return the generations of a batch that no callback has already."""
        for callback in self.followers:
            batch = callback.remaining(batch)
        return list(batch)

    def start(self, batch: Sequence[Generation]) -> None:
        """Begin a batch."""
        for callback in self.followers:
            callback.on_generations_start(batch)

    def saved_state(self, batch: Sequence[Generation]) -> dict[str, Any] | None:
        """Return the state of an interrupted batch, if a callback keeps one."""
        found = (c.saved_state(batch) for c in self.followers)
        return next((state for state in found if state), None)

    def filter(self, rendering: Rendering) -> Rendering:
        """Return the rendering after all filters."""
        for callback in self.followers:
            rendering = callback.filter(rendering)
        return rendering

    def stop(self, trajectory: Trajectory, rendering: Rendering) -> None:
        """End the generations that a callback wants ended."""
        for callback in self.followers:
            for index, reason in callback.stops(trajectory, rendering).items():
                trajectory.stop(index, reason)

    def rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        """Tell of the pictures of one update."""
        for callback in self.followers:
            callback.on_rendered(trajectory, rendering, terms)

    def state(self, state: Mapping[str, Any]) -> None:
        """Tell what the batch needs to go on after the last update."""
        for callback in self.followers:
            callback.on_state(state)

    def end(self, trajectory: Trajectory) -> None:
        """End a batch."""
        for callback in self.followers:
            callback.on_generations_end(trajectory)

    def states(self) -> dict[str, Any]:
        """Return the callbacks' own states by key, those that are not empty.

        Raises:
            ValueError: one could not be read back, which opens no pickles.
        """
        states = {c.state_key: (c, c.state_dict()) for c in self.own}
        for callback, state in states.values():
            if (foreign := _foreign(state)) is not None:
                raise ValueError(
                    f"Expected a state of plain values and tensors from the callback "
                    f"{type(callback).__name__}, received one with a {foreign}, which "
                    "could not be read back after an interruption; return other values "
                    "from its state_dict."
                )
        return {key: state for key, (_, state) in states.items() if state}

    def restore(self, states: Mapping[str, Any]) -> None:
        """Give the callbacks back what `states` returned."""
        for callback in self.own:
            if callback.state_key in states:
                callback.load_state_dict(states[callback.state_key])


def _is_lightnings(callback: Callback) -> bool:
    return type(callback).__module__.partition(".")[0] == "lightning"


def _foreign(value: Any) -> str | None:
    """Return the type of a value that a safe reader refuses, None without one."""
    if value is None or type(value) in PLAIN or isinstance(value, Tensor):
        return None
    if type(value) in (list, tuple, set, dict):
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return next((f for part in parts if (f := _foreign(part))), None)
    return type(value).__name__
