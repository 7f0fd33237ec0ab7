"""The events of a batch of generations, which callbacks can observe and influence.

The module calls these methods in this order:

| method | when it is called |
|---|---|
| `check` | in the preflight, before any network is loaded |
| `views`, `remaining` | in `setup`; `remaining` again before every further batch |
| `on_generations_start` | when a batch begins |
| `saved_state` | right afterwards, to resume a batch that was interrupted |
| `filter` | after every rendering, to change pictures |
| `stops` | in `fit` after the renderings 0 to N - 1, to end generations |
| `on_rendered` | in `fit`, exactly once for each of the updates 0 to N |
| `on_state` | after every update but the last, with the state for a restart |
| `on_generations_end` | when all generations of the batch have ended |
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from doodl import event_values
from doodl.description import Described
from doodl.generation import Generation
from doodl.guides.views import FullFrame, Views
from doodl.trajectory import Rendering, Trajectory

ValueT = TypeVar("ValueT")
MethodT = TypeVar("MethodT", bound=Callable[..., Any])


class GenerationCallback(Described, Callback):
    """A Lightning callback that also receives the events of batches of generations.

    A callback influences the module only by the values that its methods return; it
    never sets attributes of the module.

    Attributes:
        changes_images: whether the callback can change the resulting images. If so, its
            class and arguments are part of the settings of a results folder.
    """

    changes_images: ClassVar[bool] = True

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse unsuitable settings before any network is loaded.

        Args:
            trainer: the trainer, with all its callbacks.
            module: the `GuidedGeneration`, with its `settings`.

        Raises:
            ValueError: the message states in one sentence what was expected.
        """

    def views(self) -> Views | None:
        """Return the views that crop pictures for the guide in `fit`, or None."""

    def remaining(self, batch: Sequence[Generation]) -> list[Generation]:
        """Return the generations of a batch that are not finished yet."""
        return list(batch)

    def saved_state(self, batch: Sequence[Generation]) -> dict[str, Any] | None:
        """Return the latest state kept of an interrupted batch, or None."""

    def filter(self, rendering: Rendering) -> Rendering:
        """Return the rendering to record and show, with pixels replaced if needed."""
        return rendering

    def stops(self, trajectory: Trajectory, rendering: Rendering) -> Mapping[int, str]:
        """Return the reasons for ending generations now, by position in the batch."""
        return {}

    def on_generations_start(self, batch: Sequence[Generation]) -> None:
        """Called when a batch begins."""

    def on_rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        """Called with the pictures and scores of one update.

        Args:
            trajectory: the batch's record, which already includes the rendering.
            rendering: pictures and scores, after all filters.
            terms: losses and properties of the latents by name, (B,) each; empty for
                the rendering after the last update, whose loss is not computed.
        """

    def on_state(self, state: Mapping[str, Any]) -> None:
        """Called with the state from which the batch can be resumed.

        Args:
            state: plain values and tensors; `update` is the number of updates done.
        """

    def on_generations_end(self, trajectory: Trajectory) -> None:
        """Called when every generation of a batch is finished, stopped or failed."""


def _reporting_its_end(method: MethodT) -> MethodT:
    """Let a callback's StopIteration fail, which Lightning takes for the data's end."""

    @functools.wraps(method)
    def called(self: Events, *values: Any) -> Any:
        try:
            return method(self, *values)
        except StopIteration as error:
            raise RuntimeError("a callback raised StopIteration") from error

    return called  # type: ignore[return-value]


class Events:
    """Calls the event methods of a trainer's generation callbacks.

    Callbacks that are not part of this package receive copies, so that only the values
    that they return can change results.

    Args:
        callbacks: all callbacks of the trainer. Other user callbacks receive no events,
            but their state is part of `states`.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        # Lightning's own callbacks, such as its timer, measure the process, not a
        # batch, so that their state is not saved with the batch.
        self.own = [c for c in callbacks if not _is_lightnings(c)]
        self.followers = [c for c in callbacks if isinstance(c, GenerationCallback)]

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Let every callback refuse unsuitable settings."""
        for callback in self.followers:
            callback.check(trainer, module)

    def views(self) -> Views:
        """Return the views of the last callback that provides any, or full frames."""
        found = [event_values.views(c, c.views()) for c in self.followers]
        return next((v for v in found[::-1] if v is not None), FullFrame())

    def remaining(self, batch: Sequence[Generation]) -> list[Generation]:
        """Return the generations of a batch that every callback reports as missing."""
        for callback in self.followers:
            batch = event_values.missing(callback, callback.remaining(batch), batch)
        return list(batch)

    @_reporting_its_end
    def start(self, batch: Sequence[Generation]) -> None:
        """Report the start of a batch."""
        for callback in self.followers:
            callback.on_generations_start(batch)

    def saved_state(self, batch: Sequence[Generation]) -> dict[str, Any] | None:
        """Return the state of an interrupted batch, if a callback keeps one."""
        kept = ((c, c.saved_state(batch)) for c in self.followers)
        return next((event_values.state(c, s) for c, s in kept if s), None)

    def filter(self, rendering: Rendering) -> Rendering:
        """Return the rendering after all filters."""
        for callback in self.followers:
            found = callback.filter(_for(callback, rendering))
            kept = event_values.filtered(callback, found, rendering)
            rendering = _for(callback, kept)
        return rendering

    def stop(self, trajectory: Trajectory, rendering: Rendering) -> None:
        """End the generations for which a callback gives a reason to stop."""
        for callback in self.followers:
            found = callback.stops(
                _for(callback, trajectory), _for(callback, rendering)
            )
            found = event_values.stops(callback, found, len(trajectory))
            for index, reason in found.items():
                trajectory.stop(index, reason)

    @_reporting_its_end
    def rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        """Report the pictures and scores of one update."""
        for callback in self.followers:
            seen = _for(callback, trajectory), _for(callback, rendering)
            callback.on_rendered(*seen, _for(callback, terms))

    @_reporting_its_end
    def state(self, state: Mapping[str, Any]) -> None:
        """Report the state from which the batch can be resumed."""
        for callback in self.followers:
            callback.on_state(_for(callback, state))

    @_reporting_its_end
    def end(self, trajectory: Trajectory) -> None:
        """Report the end of a batch."""
        for callback in self.followers:
            callback.on_generations_end(_for(callback, trajectory))

    @_reporting_its_end
    def states(self) -> dict[str, Any]:
        """Return the non-empty states of the callbacks by their `state_key`.

        Raises:
            ValueError: a state contains a type that cannot be read back, because
                saved states are read without unpickling.
        """
        states = {c.state_key: (c, c.state_dict()) for c in self.own}
        for callback, state in states.values():
            if (foreign := event_values.foreign_type(state)) is not None:
                raise ValueError(
                    f"Expected a state of plain values and tensors from the callback "
                    f"{type(callback).__name__}, received one with a {foreign}, which "
                    "could not be read back after an interruption; return other values "
                    "from its state_dict."
                )
        return {key: state for key, (_, state) in states.items() if state}

    def restore(self, states: Mapping[str, Any]) -> None:
        """Load the states that `states` returned into the callbacks."""
        for callback in self.own:
            if callback.state_key in states:
                callback.load_state_dict(states[callback.state_key])


def _for(callback: GenerationCallback, value: ValueT) -> ValueT:
    """Return a value for a callback to read: a copy unless the callback is packaged."""
    packaged = type(callback).__module__.partition(".")[0] == "doodl"
    return value if packaged else copy.deepcopy(value)


def _is_lightnings(callback: Callback) -> bool:
    return type(callback).__module__.partition(".")[0] == "lightning"
