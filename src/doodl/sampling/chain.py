"""A chain: the sequence of moves that takes noisy latents to the final ones.

Everything a sampler does to its latents is a *move*: a linear function of the latents
and of at most one prediction of the network. A method (EDICT, DDIM) turns denoising
steps into moves; an adjoint (`doodl.sampling.adjoints`) runs the moves so that the
result can be differentiated. Neither knows the other: both know this file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from doodl.sampling.schedule import Step

State = tuple[Tensor, ...]
"""The latents that a chain moves together, each (B, C, h, w): two for EDICT."""
Predict = Callable[[Tensor, float], Tensor]
"""The frozen network: `predict(latent, timestep)` has the shape of the latent."""


class Move(Protocol):
    """One move of a chain, linear in the state and in the prediction.

    The network is evaluated at the latent `state[source]`. A reversible move leaves
    that latent unchanged, so that `unstep` can ask for the same prediction again.
    """

    @property
    def source(self) -> int | None:
        """Index of the latent that the network takes; None without a prediction."""

    @property
    def timestep(self) -> float | None:
        """Timestep that the network takes, a Python number; None without one."""

    def step(self, state: State, prediction: Any) -> State:
        """Return the next state."""

    def unstep(self, state: State, prediction: Any) -> State:
        """Return the previous state, the inverse of `step` for this prediction."""

    def pullback(self, grads: State) -> tuple[State, Tensor | None]:
        """Return the gradients of the previous state and of the prediction.

        Args:
            grads: gradients of the state that `step` returned.
        """


class Method(ABC):
    """Turns denoising steps into the moves of a chain.

    Attributes:
        num_latents: number of latents in a state of the chain.
        reversible: whether `unstep` of every move is exact.
    """

    num_latents: int
    reversible: bool

    @abstractmethod
    def moves(self, steps: Sequence[Step], *, start: int = 0) -> Sequence[Move]:
        """Return the moves of a chain, without those that change nothing.

        Args:
            steps: all steps of the schedule, noisiest first.
            start: index of the first step that is done; above 0 for a partial chain.
        """


def run(moves: Sequence[Move], predict: Predict, state: State) -> State:
    """Return the final state of a chain that begins at `state`."""
    for move in moves:
        state = move.step(state, prediction_for(move, predict, state))
    return state


def unrun(moves: Sequence[Move], predict: Predict, state: State) -> State:
    """Return the state at which a chain begins that ends at `state`."""
    for move in reversed(moves):
        state = move.unstep(state, prediction_for(move, predict, state))
    return state


def prediction_for(move: Move, predict: Predict, state: State) -> Tensor | None:
    """Return the prediction that a move takes, in the dtype of the state.

    Returns:
        (B, C, h, w), or None for a move without a prediction.
    """
    if move.source is None or move.timestep is None:
        return None
    latent = state[move.source]
    return predict(latent, move.timestep).to(latent.dtype)
