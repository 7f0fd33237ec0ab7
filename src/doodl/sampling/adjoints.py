"""Adjoints: how the gradient of a chain is computed. Those here all give the same.

| adjoint | stores | network calls in backward |
|---|---|---|
| `DirectAdjoint` | the activations of every call | none |
| `CheckpointAdjoint` | the latent of every call | every call again |
| `ReversibleAdjoint` | the final state | every call again |
| `BudgetAdjoint` | the final state and as many activations as fit | the rest again |
| `CheckpointBudgetAdjoint` | every latent and as many activations as fit | likewise |

`StraightThroughAdjoint`, which can also be named from here, is cheaper and approximate.

An adjoint may have two attributes: `reverses`, whether it reconstructs states with
`Move.unstep` and so needs a reversible method, and `repeats`, whether backward runs
network calls of forward again. It may have two methods: `gradient_calls` says how many
network calls a chain and its gradient take, and `prepare` measures before the first
chain. The functions of these names also answer for an adjoint that has none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doodl.sampling.backward import Checkpointed, Reversed, apply
from doodl.sampling.budget import BudgetAdjoint, CheckpointBudgetAdjoint
from doodl.sampling.chain import Method, Move, Predict, State, run
from doodl.sampling.estimates import StraightThroughAdjoint
from doodl.sampling.gradient import (
    Adjoint,
    GradientCalls,
    gradient_calls,
    num_calls,
)

__all__ = [
    "Adjoint",
    "BudgetAdjoint",
    "CheckpointAdjoint",
    "CheckpointBudgetAdjoint",
    "DirectAdjoint",
    "GradientCalls",
    "ReversibleAdjoint",
    "StraightThroughAdjoint",
    "default_adjoint",
    "gradient_calls",
    "prepare",
    "repeats",
    "reverses",
]


class DirectAdjoint:
    """Stores every activation: the reference, and the fewest network calls.

    Memory grows with the number of steps times the network's activations.
    """

    reverses = False
    repeats = False

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state with the graph of the whole chain."""
        return run(moves, predict, state)

    def gradient_calls(
        self, moves: Sequence[Move], graph: int = 0, available: int = 0
    ) -> GradientCalls:
        """Return the calls of the chain; none is repeated."""
        count = num_calls(moves)
        return GradientCalls(count, 0, count)


class CheckpointAdjoint:
    """Stores the latent of every network call, and repeats the calls in backward.

    Memory grows with the number of steps times two latents; the graph of one network
    call exists at a time. The gradient is bit-equal to that of `DirectAdjoint` where
    kernels are deterministic.
    """

    reverses = False
    repeats = True

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state; backward reads the stored latents."""
        return apply(Checkpointed, moves, predict, state, 0)

    def gradient_calls(
        self, moves: Sequence[Move], graph: int = 0, available: int = 0
    ) -> GradientCalls:
        """Return the calls of the chain; all are repeated."""
        count = num_calls(moves)
        return GradientCalls(count, count, count)


class ReversibleAdjoint:
    """Stores the final state only, and reconstructs the others in backward.

    Memory does not grow with the number of steps. The network call that gives the
    gradient of a move also gives the prediction that undoes it, so that the inverse
    costs no call of its own. The gradient is exact up to round-off, which the inverse
    of the chain amplifies (for EDICT by p^-2 a step). The method has to be reversible.
    """

    reverses = True
    repeats = True

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state; backward walks through the chain in reverse."""
        return apply(Reversed, moves, predict, state, 0)

    def gradient_calls(
        self, moves: Sequence[Move], graph: int = 0, available: int = 0
    ) -> GradientCalls:
        """Return the calls of the chain; all are repeated."""
        count = num_calls(moves)
        return GradientCalls(count, count, count)


def default_adjoint(method: Method, sixteen_bits: bool) -> Adjoint:
    """Return the adjoint that suits a method and the precision of the networks.

    A network in 16 bits may round a reconstructed latent differently from the
    original one, so that its chain stores the latents instead.

    Args:
        method: makes the moves of the chain.
        sixteen_bits: whether the network computes in float16 or bfloat16.

    Returns:
        `ReversibleAdjoint` for a reversible method with a network in more than 16
        bits, else `CheckpointAdjoint`.
    """
    if method.reversible and not sixteen_bits:
        return ReversibleAdjoint()
    return CheckpointAdjoint()


def reverses(adjoint: Adjoint | None) -> bool:
    """Return whether an adjoint needs a reversible method; no if it does not say."""
    return bool(getattr(adjoint, "reverses", False))


def repeats(adjoint: Adjoint | None) -> bool:
    """Return whether backward repeats network calls; yes if it does not say."""
    return bool(getattr(adjoint, "repeats", True))


def prepare(
    adjoint: Any, moves: Sequence[Move], predict: Predict, state: State
) -> None:
    """Let an adjoint measure, with network calls that are none of the chain's."""
    measure = getattr(adjoint, "prepare", None)
    if measure is not None:
        measure(moves, predict, state)
