"""Adjoints that store the graphs of as many network calls as memory holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch

from doodl.sampling import memory
from doodl.sampling.backward import Checkpointed, Reversed, apply, requires_gradient
from doodl.sampling.chain import Move, Predict, State
from doodl.sampling.gradient import GradientCalls, num_calls


class BudgetAdjoint:
    """`ReversibleAdjoint` that also stores activations within a memory budget.

    It stores the graphs of the last k network calls of the chain, because backward
    needs them first, and repeats only the other n - k. An update therefore takes 2n - k
    calls and n gradients of calls: as many as `ReversibleAdjoint` for k = 0 and as
    `DirectAdjoint` for k = n, and its cost is linear between them. The size of a graph
    is measured with one additional network call, once for each shape of latents.

    Args:
        gib: memory for the stored graphs, in GiB, 0 or more.
        fraction: the same as a share, 0 to 1, of the memory that is available when
            the first gradient is computed; 0.5 if neither argument is given.

    Raises:
        ValueError: both arguments are given, or one is out of range.

    References:
        The chain whose states backward reconstructs is that of DOODL, Wallace et al.,
        arXiv 2303.13703, made reversible by EDICT, arXiv 2211.12446.
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
        kept = self.prepare(moves, predict, state)
        return apply(self.function, moves, predict, state, kept)

    def prepare(self, moves: Sequence[Move], predict: Predict, state: State) -> int:
        """Return how many graphs are kept, which takes one call for every shape."""
        latent = state[0]
        autocast = torch.is_autocast_enabled(latent.device.type)
        key = (*latent.shape, latent.dtype, latent.device, autocast)
        if requires_gradient(state) and key not in self.kept:
            self.kept[key] = self._measured(moves, predict, state)
        return self.kept.get(key, 0)

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
