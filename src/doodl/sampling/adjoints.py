"""How gradients are taken through a chain: four ways to the same number.

A chain is a sequence of moves on a state, a tuple of latents. A move is linear in the
state and in one prediction of the network at one latent of the state, which the move
itself does not change. Nothing else is known of the sampler here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from doodl.sampling import memory

State = tuple[Tensor, ...]
Predict = Callable[[Tensor, float], Tensor]
"""The network: `predict(latent, timestep)`; its own parameters are frozen."""


class Move(Protocol):
    """One reversible move of a chain."""

    @property
    def source(self) -> int | None:
        """Index of the latent that the network is asked at; None for no network."""

    @property
    def timestep(self) -> float | None:
        """The timestep that the network is told; a number, never on a device."""

    def step(self, state: State, prediction: Any) -> State:
        """Return the next state."""

    def unstep(self, state: State, prediction: Any) -> State:
        """Return the previous state."""

    def pullback(self, grads: State) -> tuple[State, Tensor | None]:
        """Return the gradient of the previous state and of the prediction."""


class Adjoint(Protocol):
    """Runs a chain so that its result can be differentiated."""

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state, differentiable with respect to `state`."""


def run(moves: Sequence[Move], predict: Predict, state: State) -> State:
    """Return the final state of a chain."""
    for move in moves:
        state = move.step(state, _ask(move, predict, state))
    return state


def unrun(moves: Sequence[Move], predict: Predict, state: State) -> State:
    """Return the initial state of a chain from its final one."""
    for move in reversed(moves):
        state = move.unstep(state, _ask(move, predict, state))
    return state


class DirectAdjoint:
    """Keeps every activation: the reference, and the least work.

    Memory grows with the number of steps times the network's activations.
    """

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state with its whole graph."""
        return run(moves, predict, state)


class CheckpointAdjoint:
    """Keeps the latent of every network call, and asks again in backward.

    Memory grows with the number of steps times two latents; one graph is alive at a
    time. Bit-equal to the direct adjoint where kernels are deterministic.
    """

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state; backward stores nothing else."""
        return _apply(_Checkpointed, moves, predict, state)


class ReversibleAdjoint:
    """Keeps the final state only, and rebuilds the others in backward.

    Memory does not grow with the number of steps. The one call that gives the gradient
    also gives the prediction that undoes the move, so inverting costs nothing. Exact
    up to the round-off that the chain's inverse amplifies.
    """

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state; backward walks the chain in reverse."""
        return _apply(_Reversed, moves, predict, state, 0)


class BudgetAdjoint:
    """The reversible one, which keeps the graphs of as many calls as memory allows.

    They are the last calls of the chain, the first that backward needs; it does not
    repeat them. An update without any kept graph costs about 3.4 forward chains, with
    all of them 2.4. How many bytes a graph takes is measured by one call of its own,
    once for every shape of latents.

    Args:
        gib: memory for the graphs, in GiB.
        fraction: the same as a share of the memory that is free when it is measured;
            half of it, if nothing is given.

    Raises:
        ValueError: when both are given, or one is out of range.
    """

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
        """Return the final state; backward repeats what was not kept."""
        latent = state[0]
        autocast = torch.is_autocast_enabled(latent.device.type)
        key = (*latent.shape, latent.dtype, latent.device, autocast)
        if _asks_for_gradient(state) and key not in self.kept:
            self.kept[key] = self._affordable(moves, predict, state)
        return _apply(_Reversed, moves, predict, state, self.kept.get(key, 0))

    def _affordable(self, moves: Sequence[Move], predict: Predict, state: State) -> int:
        """Return how many graphs of one call fit into the budget."""
        calls = ((m.source, m.timestep) for m in moves if m.source is not None)
        source, timestep = next(calls, (0, None))
        if timestep is None:
            return 0
        query = state[source].detach().requires_grad_()
        size = memory.graph_bytes(lambda: predict(query, timestep))
        return int(self.bytes(memory.free_bytes(query.device)) // max(size, 1))

    def bytes(self, free: int) -> float:
        """Return the budget where so many bytes are free."""
        return self.fraction * free if self.gib is None else self.gib * 2**30


class _Checkpointed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        moves: Sequence[Move],
        predict: Predict,
        *state: Tensor,
    ) -> State:
        _remember(ctx, moves, predict, state[0].device.type)
        queries = []
        for move in moves:
            if move.source is not None:
                queries.append(state[move.source])
            state = move.step(state, _ask(move, predict, state))
        ctx.save_for_backward(*queries)
        return state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        queries = list(ctx.saved_tensors)
        state: State = grads
        for move in reversed(ctx.moves):
            if move.source is None:
                state, _ = move.pullback(state)
            else:
                query, prediction = _ask_with_graph(ctx, move, queries.pop())
                state = _pull(move, state, query, prediction)
        return None, None, *state


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        moves: Sequence[Move],
        predict: Predict,
        keep: int,
        *state: Tensor,
    ) -> State:
        _remember(ctx, moves, predict, state[0].device.type)
        ctx.graphs = []
        to_come = sum(move.source is not None for move in moves)
        for move in moves:
            to_come -= move.source is not None
            if move.source is None or to_come >= keep:
                prediction = _ask(move, predict, state)
            else:
                ctx.graphs.append(_ask_with_graph(ctx, move, state[move.source]))
                prediction = ctx.graphs[-1][1].detach()
            state = move.step(state, prediction)
        ctx.save_for_backward(*state)
        return state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        state: State = ctx.saved_tensors
        back: State = grads
        for move in reversed(ctx.moves):
            if move.source is None:
                state = move.unstep(state, None)
                back, _ = move.pullback(back)
            else:
                query, prediction = (
                    ctx.graphs.pop()
                    if ctx.graphs
                    else _ask_with_graph(ctx, move, state[move.source])
                )
                state = move.unstep(state, prediction.detach())
                back = _pull(move, back, query, prediction)
        return None, None, None, *back


def _apply(
    function: type[torch.autograd.Function],
    moves: Sequence[Move],
    predict: Predict,
    state: State,
    *settings: int,
) -> State:
    """Apply the function, or just run the chain where no gradient is asked for."""
    if _asks_for_gradient(state):
        return function.apply(moves, predict, *settings, *state)
    with torch.no_grad():
        return run(moves, predict, state)


def _asks_for_gradient(state: State) -> bool:
    return torch.is_grad_enabled() and any(latent.requires_grad for latent in state)


def _ask(move: Move, predict: Predict, state: State) -> Tensor | None:
    """Return the prediction that a move needs, in the precision of the state."""
    if move.source is None or move.timestep is None:
        return None
    query = state[move.source]
    return predict(query, move.timestep).to(query.dtype)


def _ask_with_graph(ctx: Any, move: Move, latent: Tensor) -> tuple[Tensor, Tensor]:
    """Return a leaf at the latent and the prediction there, with its graph."""
    query = latent.detach().requires_grad_()
    assert move.timestep is not None
    with torch.enable_grad(), ctx.precision():
        return query, ctx.predict(query, move.timestep).to(query.dtype)


def _pull(move: Move, grads: State, query: Tensor, prediction: Tensor) -> State:
    """Return the gradient before a move, with that through the network added."""
    back, grad_prediction = move.pullback(grads)
    if prediction.requires_grad:
        (through,) = torch.autograd.grad(prediction, query, grad_prediction)
        parts = list(back)
        parts[move.source] = parts[move.source] + through  # type: ignore[index]
        back = tuple(parts)
    return back


def _remember(ctx: Any, moves: Sequence[Move], predict: Predict, device: str) -> None:
    """Keep what backward needs, with the precision that forward ran in.

    Lightning runs backward outside of autocast; a call repeated there would differ
    from the one that it repeats.
    """
    ctx.moves, ctx.predict = moves, predict
    ctx.set_materialize_grads(True)
    enabled = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device)
    cache = torch.is_autocast_cache_enabled()

    def precision() -> AbstractContextManager[Any]:
        return torch.autocast(device, dtype, enabled, cache_enabled=cache)

    ctx.precision = precision
