"""Backward passes of a chain that recompute instead of storing activations.

All functions run the chain without a graph of it in forward, and walk through the moves
in reverse in backward. `Checkpointed` and `Reversed` evaluate the network once for each
move with gradients enabled and multiply the incoming gradient by its Jacobian. They
differ in where the latent of each evaluation comes from: `Checkpointed` has stored it,
`Reversed` reconstructs it; both may have kept the graphs of the last calls. `Frozen`
is an approximation that leaves all Jacobians out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from doodl.sampling.chain import Move, Predict, State, prediction_for, run


class Checkpointed(torch.autograd.Function):
    """Stores the latents of the network calls, and the graphs of the last `keep`."""

    @staticmethod
    def forward(
        ctx: Any,
        moves: Sequence[Move],
        predict: Predict,
        keep: int,
        *state: Tensor,
    ) -> State:
        """Return the final state."""
        _remember(ctx, moves, predict, state[0].device.type)
        ctx.graphs, queries = [], []
        calls_left = sum(move.source is not None for move in moves)
        for move in moves:
            calls_left -= move.source is not None
            if move.source is None or calls_left >= keep:
                if move.source is not None:
                    queries.append(state[move.source])
                prediction = prediction_for(move, predict, state)
            else:
                ctx.graphs.append(_predict_with_graph(ctx, move, state[move.source]))
                prediction = ctx.graphs[-1][1].detach()
            state = move.step(state, prediction)
        ctx.save_for_backward(*queries)
        return state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the initial state, after one None an argument."""
        queries = list(ctx.saved_tensors)
        state: State = grads
        for move in reversed(ctx.moves):
            if move.source is None:
                state, _ = move.pullback(state)
            else:
                query, prediction = (
                    ctx.graphs.pop()
                    if ctx.graphs
                    else _predict_with_graph(ctx, move, queries.pop())
                )
                state = _pull(move, state, query, prediction)
        return None, None, None, *state


class Reversed(torch.autograd.Function):
    """Stores the final state, and the graphs of the last `keep` network calls."""

    @staticmethod
    def forward(
        ctx: Any,
        moves: Sequence[Move],
        predict: Predict,
        keep: int,
        *state: Tensor,
    ) -> State:
        """Return the final state."""
        _remember(ctx, moves, predict, state[0].device.type)
        ctx.graphs = []
        calls_left = sum(move.source is not None for move in moves)
        for move in moves:
            calls_left -= move.source is not None
            if move.source is None or calls_left >= keep:
                prediction = prediction_for(move, predict, state)
            else:
                ctx.graphs.append(_predict_with_graph(ctx, move, state[move.source]))
                prediction = ctx.graphs[-1][1].detach()
            state = move.step(state, prediction)
        ctx.save_for_backward(*state)
        return state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the initial state, after one None an argument."""
        state: State = ctx.saved_tensors
        back: State = grads
        for move in reversed(ctx.moves):
            if move.source is None:
                state = move.unstep(state, None)
                back, _ = move.pullback(back)
            else:
                # One evaluation gives both the value that undoes the move and the
                # graph of the vector-Jacobian product.
                query, prediction = (
                    ctx.graphs.pop()
                    if ctx.graphs
                    else _predict_with_graph(ctx, move, state[move.source])
                )
                state = move.unstep(state, prediction.detach())
                back = _pull(move, back, query, prediction)
        return None, None, None, *back


class Frozen(torch.autograd.Function):
    """Takes every prediction for a constant: only the linear part of the moves."""

    @staticmethod
    def forward(
        ctx: Any, moves: Sequence[Move], predict: Predict, *state: Tensor
    ) -> State:
        """Return the final state."""
        ctx.moves = moves
        ctx.set_materialize_grads(True)
        return run(moves, predict, state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the initial state, after one None an argument."""
        back: State = grads
        for move in reversed(ctx.moves):
            back, _ = move.pullback(back)
        return None, None, *back


def apply(
    function: type[torch.autograd.Function],
    moves: Sequence[Move],
    predict: Predict,
    state: State,
    *settings: float,
) -> State:
    """Apply one of the functions above, or `run` where no gradient is required."""
    if requires_gradient(state):
        return function.apply(moves, predict, *settings, *state)
    with torch.no_grad():
        return run(moves, predict, state)


def requires_gradient(state: State) -> bool:
    """Return whether autograd would record an operation on the state."""
    return torch.is_grad_enabled() and any(latent.requires_grad for latent in state)


def _predict_with_graph(ctx: Any, move: Move, latent: Tensor) -> tuple[Tensor, Tensor]:
    """Return a leaf with the latent's values, and the prediction with its graph."""
    query = latent.detach().requires_grad_()
    assert move.timestep is not None
    with torch.enable_grad(), ctx.autocast():
        return query, ctx.predict(query, move.timestep).to(query.dtype)


def _pull(move: Move, grads: State, query: Tensor, prediction: Tensor) -> State:
    """Return the gradient before a move: directly, and through the network."""
    back, grad_prediction = move.pullback(grads)
    if prediction.requires_grad:
        (through,) = torch.autograd.grad(prediction, query, grad_prediction)
        parts = list(back)
        parts[move.source] = parts[move.source] + through  # type: ignore[index]
        back = tuple(parts)
    return back


def _remember(ctx: Any, moves: Sequence[Move], predict: Predict, device: str) -> None:
    """Store the chain and the current autocast settings for backward.

    Lightning runs backward outside of autocast; a network call that is repeated there
    without these settings would differ from the call in forward.
    """
    ctx.moves, ctx.predict = moves, predict
    ctx.set_materialize_grads(True)
    enabled = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device)
    cache = torch.is_autocast_cache_enabled()

    def autocast() -> AbstractContextManager[Any]:
        return torch.autocast(device, dtype, enabled, cache_enabled=cache)

    ctx.autocast = autocast
