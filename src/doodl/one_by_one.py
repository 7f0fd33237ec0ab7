"""A function of many pictures, taken one picture at a time, in backward too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def one_by_one(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """What `function` makes of N inputs, keeping no activation of any of them.

    Backward calls the function a second time, so that the activations of one input are
    alive at a time, whatever N is.

    Args:
        function: of tensors whose leading dimension is 1, to one of leading dimension
            1; deterministic.
        inputs: tensors with leading dimension N.

    Returns:
        (N, ...)
    """
    parts = zip(*(tensor.split(1) for tensor in inputs), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([function(*part) for part in parts])
    # Nothing random happens in a frozen network: the generators' states can stay.
    return torch.cat(
        [
            checkpoint(function, *part, use_reentrant=False, preserve_rng_state=False)
            for part in parts
        ]
    )
