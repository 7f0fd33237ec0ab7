"""What a guide may not change: its inputs, and what the whole process shares."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def unchanged(name: str) -> Iterator[None]:
    """Refuse a block that changes the working folder or a default of torch.

    Args:
        name: the guide, for error messages.

    Raises:
        ValueError: naming what was changed, which is set back.
    """
    folder, dtype = os.getcwd(), torch.get_default_dtype()
    device, gradient = torch.empty(0).device, torch.is_grad_enabled()
    yield
    changes = {
        "working folder": (folder, os.getcwd()),
        "default dtype": (dtype, torch.get_default_dtype()),
        "default device": (device, torch.empty(0).device),
        "gradient mode": (gradient, torch.is_grad_enabled()),
    }
    os.chdir(folder)
    torch.set_default_dtype(dtype)
    if device != torch.empty(0).device:
        torch.set_default_device(device)
    torch.set_grad_enabled(gradient)
    for what, (before, after) in changes.items():
        if before != after:
            raise ValueError(
                f"Expected {name} to leave the {what} at {before}, received {after}; "
                "all code of the process shares it, so set it back."
            )


def check_untouched(
    inputs: Mapping[str, Tensor], versions: Sequence[int], name: str
) -> None:
    """Refuse a guide that has changed its inputs in place.

    Args:
        inputs: pixels and targets, by name.
        versions: of the same tensors before the call.
        name: the guide, for error messages.

    Raises:
        ValueError: naming the input and the remedy.
    """
    for (key, tensor), version in zip(inputs.items(), versions, strict=True):
        if tensor._version != version:
            raise ValueError(
                f"Expected {name} to leave its {key} unchanged, received an in-place "
                "change; begin with a clone(), or use the operations without a "
                "trailing underscore."
            )
