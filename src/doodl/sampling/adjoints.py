"""Adjoints: how the gradient of a chain is computed. Those here all give the same.

| adjoint | stores | network calls in backward |
|---|---|---|
| `DirectAdjoint` | the activations of every call | none |
| `CheckpointAdjoint` | the latent of every call | every call again |
| `ReversibleAdjoint` | the final state | every call again |
| `BudgetAdjoint` | the final state and as many activations as fit | the rest again |
| `CheckpointBudgetAdjoint` | every latent and as many activations as fit | likewise |

Those of `doodl.sampling.estimates`, which can also be named from here, are cheaper and
approximate.

An adjoint may have two attributes: `reverses`, whether it reconstructs states with
`Move.unstep` and so needs a reversible method, and `repeats`, whether backward runs
network calls of forward again. `reverses()` and `repeats()` read them, and also answer
for an adjoint that does not have them. The method `gradient_calls` says how many
network calls a chain and its gradient take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch

from doodl.sampling import memory
from doodl.sampling.backward import Checkpointed, Reversed, apply, requires_gradient
from doodl.sampling.chain import Method, Move, Predict, State, run
from doodl.sampling.estimates import (
    JumpAdjoint,
    ShortcutAdjoint,
    StraightThroughAdjoint,
    TruncatedAdjoint,
)
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
    "JumpAdjoint",
    "ReversibleAdjoint",
    "ShortcutAdjoint",
    "StraightThroughAdjoint",
    "TruncatedAdjoint",
    "begin_update",
    "default_adjoint",
    "gradient_calls",
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


class BudgetAdjoint:
    """`ReversibleAdjoint` that also stores activations within a memory budget.

    It stores the graphs of the last network calls of the chain, because backward needs
    them first, and repeats only the other calls. One update costs about 3.4 times the
    forward chain if no graph is stored and 2.4 times if all are. The size of a graph
    is measured with one additional network call, once for each shape of latents.

    Args:
        gib: memory for the stored graphs, in GiB, 0 or more.
        fraction: the same as a share, 0 to 1, of the memory that is available when
            the first gradient is computed; 0.5 if neither argument is given.

    Raises:
        ValueError: both arguments are given, or one is out of range.
    """

    reverses = True
    repeats = True
    function: ClassVar[type[torch.autograd.Function]] = Reversed

    def __init__(self, gib: float | None = None, fraction: float | None = None) -> None:
        if gib is not None and fraction is not None:
            raise ValueError(
                f"Expected gib or fraction, received both, {gib} and {fraction}; leave "
                "one of them out."
            )
        if gib is not None and not 0 <= gib < math.inf:
            raise ValueError(f"Expected gib of 0 or more, received {gib}.")
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(
                f"Expected a fraction between 0 and 1, received {fraction}."
            )
        self.gib = gib
        self.fraction = 0.5 if fraction is None else fraction
        self.kept: dict[tuple[object, ...], int] = {}

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state; backward repeats the calls without a graph."""
        latent = state[0]
        autocast = torch.is_autocast_enabled(latent.device.type)
        key = (*latent.shape, latent.dtype, latent.device, autocast)
        if requires_gradient(state) and key not in self.kept:
            self.kept[key] = self._measured(moves, predict, state)
        return apply(self.function, moves, predict, state, self.kept.get(key, 0))

    def gradient_calls(
        self, moves: Sequence[Move], graph: int = 0, available: int = 0
    ) -> GradientCalls:
        """Return the calls of the chain; those whose graph is kept are not repeated.

        Args:
            moves: of the chain.
            graph: bytes that the graph of one call takes.
            available: bytes of memory.
        """
        count = num_calls(moves)
        kept = min(self.affordable(graph, available), count) if graph else 0
        return GradientCalls(count, count - kept, count)

    def affordable(self, graph: int, available: int) -> int:
        """Return how many graphs of one network call fit into the budget."""
        return int(self.bytes(available) // max(graph, 1))

    def bytes(self, available: int) -> float:
        """Return the budget in bytes, given the bytes of memory available."""
        return self.fraction * available if self.gib is None else self.gib * 2**30

    def _measured(self, moves: Sequence[Move], predict: Predict, state: State) -> int:
        """Return how many graphs fit, by the size of one and the memory available."""
        calls = ((m.source, m.timestep) for m in moves if m.source is not None)
        source, timestep = next(calls, (0, None))
        if timestep is None:
            return 0
        query = state[source].detach().requires_grad_()
        size = memory.graph_bytes(lambda: predict(query, timestep))
        return self.affordable(size, memory.available_bytes(query.device))


class CheckpointBudgetAdjoint(BudgetAdjoint):
    """`CheckpointAdjoint` that also stores activations within a memory budget.

    It differs from `BudgetAdjoint` in that the latents of the repeated calls are stored
    instead of reconstructed. So it works with every method, and the gradient has the
    same bits however many graphs fit: results do not depend on the memory of a machine
    or on its other processes.

    Args:
        gib: memory for the stored graphs, in GiB, 0 or more.
        fraction: the same as a share, 0 to 1, of the memory that is available when
            the first gradient is computed; 0.5 if neither argument is given.
    """

    reverses = False
    function = Checkpointed


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


def begin_update(adjoint: Adjoint | None, update: int) -> None:
    """Tell an adjoint with a random choice of the number of the update, by `at`."""
    if hasattr(adjoint, "at"):
        adjoint.at(update)
