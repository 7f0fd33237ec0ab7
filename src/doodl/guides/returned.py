"""Checks what a guide returns: one differentiable loss for each picture."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def check_targets(targets: Any, name: str) -> dict[str, Tensor]:
    """Return the targets of two generations.

    Args:
        targets: result of `prepare`.
        name: the guide, for error messages.

    Raises:
        ValueError: they are not a dictionary of tensors with leading dimension 2.
    """
    if not isinstance(targets, Mapping):
        raise ValueError(
            f"Expected a dictionary of tensors from prepare of {name}, received "
            f"{_kind(targets)}; return {{}} if the loss has no targets."
        )
    for key, target in targets.items():
        if not isinstance(target, Tensor) or target.shape[:1] != (2,):
            raise ValueError(
                f"Expected a tensor with leading dimension 2 for the target '{key}' of "
                f"two generations from {name}, received {_kind(target)}; return one "
                "row for each generation."
            )
    return dict(targets)


def check_terms(terms: Any, count: int, name: str) -> Mapping[str, Tensor]:
    """Return a guide's terms if they are losses (count,) by name, with "loss".

    Args:
        terms: result of `Guide.terms`.
        count: number of pictures.
        name: the guide, for error messages.

    Raises:
        ValueError: the guide returned something else.
    """
    if not isinstance(terms, Mapping) or "loss" not in terms:
        raise ValueError(
            f"Expected a dictionary with the key 'loss' from terms of {name}, received "
            f"{_kind(terms)}; return the total under 'loss'."
        )
    for term in terms.values():
        check_shape(term, count, name, "loss")
    return terms


def check_shape(values: Any, count: int, name: str, noun: str) -> Tensor:
    """Return a guide's values if they are a tensor (count,).

    Raises:
        ValueError: they are not; the message names what was received.
    """
    if isinstance(values, Tensor) and values.shape == (count,):
        return values
    hint = (
        "take the mean over channels, rows and columns, mean(dim=(1, 2, 3)), not over "
        "pictures"
    )
    if not isinstance(values, Tensor):
        hint = "return a tensor; torch.stack makes one of a list"
    elif count == 1:
        hint = "keep the dimension of pictures, which a squeeze() removes"
    raise ValueError(
        f"Expected one {noun} a picture, ({count},), from {name}, received "
        f"{_kind(values)}; {hint}."
    )


def check_differentiable(losses: Tensor, name: str) -> None:
    """Refuse losses without a gradient.

    Args:
        losses: (N,) of the pictures.
        name: the guide, for error messages.

    Raises:
        ValueError: the losses have no gradient with respect to anything.
    """
    if not losses.requires_grad:
        raise ValueError(
            f"Expected losses with a gradient from {name}, received constants; leave "
            "out detach(), item(), numpy(), torch.no_grad() and comparisons, or run "
            "`doodl predict` with doodl.baselines.BestOfN, which needs scores only."
        )


def check_gradient(losses: Tensor, leaf: Tensor, name: str) -> None:
    """Refuse losses without a gradient; warn if all derivatives are zero.

    Args:
        losses: (N,) of the pictures.
        leaf: (N, 3, h, w), the pictures, a leaf of the graph.
        name: the guide, for error messages.

    Raises:
        ValueError: the losses have no gradient with respect to the pictures.
    """
    check_differentiable(losses, name)
    (slope,) = torch.autograd.grad(losses.sum(), leaf, allow_unused=True)
    if slope is None:
        raise ValueError(
            f"Expected losses that depend on the pixels from {name}, received ones "
            "that do not; compute them from the argument pixels."
        )
    if not slope.any():
        warnings.warn(
            f"The gradient of {name} is zero on two random pictures; without a "
            "gradient the optimisation cannot change a picture. Rounding and "
            "comparisons have none.",
            stacklevel=2,
        )


def same(first: Tensor, second: Tensor) -> bool:
    """Return whether losses (N,) are equal except for round-off and NaN."""
    tolerance = 0.03 if torch.is_autocast_enabled() else 1e-3
    scale = first.float().abs().nan_to_num(0.0, 0.0, 0.0).max().item()
    return torch.allclose(
        first.float(),
        second.float(),
        rtol=tolerance,
        atol=tolerance * 0.1 * scale + 1e-7,
        equal_nan=True,
    )


def _kind(value: Any) -> str:
    """Return a short description of a value for an error message."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"
