"""The losses of many pictures, one picture at a time, with their gradients at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Losses = Callable[..., tuple[Tensor, ...]]
"""Losses (N,) of N inputs, and whatever else of them, each (N, ...)."""


def one_by_one(function: Losses, inputs: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """What `function` makes of N inputs, keeping no activation of any of them.

    A loss of one picture needs no other picture, so its gradient is taken right after
    it: nothing is computed twice, and one picture's activations are alive at a time.

    Args:
        function: called with inputs and others of leading dimension 1; a function's
            losses are sums of independent terms, one for each input.
        inputs: (N, ...), what the losses are differentiated by.
        others: further tensors with leading dimension N.

    Returns:
        the losses (N,), differentiable once by `inputs`; the rest, constants.
    """
    if not (torch.is_grad_enabled() and inputs.requires_grad):
        return _join(_each(function, inputs, *others))
    return _OneByOne.apply(function, inputs, *others)


class _OneByOne(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, function: Losses, inputs: Tensor, *others: Tensor
    ) -> tuple[Tensor, ...]:
        gradients: list[Tensor] = []

        def with_gradient(one: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            one = one.detach().requires_grad_()
            with torch.enable_grad():
                found = function(one, *rest)
                gradients.extend(torch.autograd.grad(found[0].sum(), one))
            return tuple(part.detach() for part in found)

        found = _join(_each(with_gradient, inputs, *others))
        ctx.save_for_backward(torch.cat(gradients))
        ctx.mark_non_differentiable(*found[1:])
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        (gradients,) = ctx.saved_tensors
        shape = (-1, *[1] * (gradients.dim() - 1))
        rest = [None] * (len(ctx.needs_input_grad) - 2)
        return None, gradients * weights.view(shape), *rest


def _each(function: Losses, *inputs: Tensor) -> list[tuple[Tensor, ...]]:
    parts = zip(*(tensor.split(1) for tensor in inputs), strict=True)
    return [function(*part) for part in parts]


def _join(found: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))
