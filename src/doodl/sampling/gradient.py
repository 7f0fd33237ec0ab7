"""What an adjoint is, and how many network calls the gradient of a chain takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from doodl.sampling.chain import Move, Predict, State


class Adjoint(Protocol):
    """Runs a chain so that its final state can be differentiated."""

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state, differentiable with respect to `state`."""


BACKWARD = 1.4
"""What the gradient of a call with respect to its input counts, in forward calls.

A convention of all tables, not a measurement: backward of a frozen network takes about
as much arithmetic as forward. `count_flops` finds 1.01 forward calls in the shapes
world and 1.15 on Stable Diffusion 1.5, so that exact gradients take a little less
arithmetic than the tables count.
"""


class GradientCalls(NamedTuple):
    """Network calls of one chain and its gradient.

    Attributes:
        forward: calls of the chain.
        repeated: how many of them backward runs again.
        differentiated: how many of them are differentiated.
    """

    forward: int
    repeated: int
    differentiated: int

    @property
    def equivalents(self) -> float:
        """Cost of all in forward calls, with `BACKWARD` for each gradient."""
        return self.forward + self.repeated + BACKWARD * self.differentiated


def num_calls(moves: Sequence[Move]) -> int:
    """Return the number of network calls of a chain."""
    return sum(move.source is not None for move in moves)


def gradient_calls(
    adjoint: Any, moves: Sequence[Move], graph: int = 0, available: int = 0
) -> GradientCalls:
    """Return what an adjoint's gradient takes, by its method of the same name.

    Args:
        adjoint: any adjoint; one without the method repeats and differentiates every
            call, and None stands for `run` under autograd.
        moves: of the chain.
        graph: bytes that the graph of one call takes, for adjoints that go by it.
        available: bytes of memory, likewise.
    """
    count = num_calls(moves)
    if adjoint is None:
        return GradientCalls(count, 0, count)
    if not hasattr(adjoint, "gradient_calls"):
        return GradientCalls(count, count, count)
    return adjoint.gradient_calls(moves, graph, available)
