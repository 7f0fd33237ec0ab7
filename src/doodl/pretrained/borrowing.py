"""Uses a pipeline that the caller has loaded, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline as Pipeline
else:

    class Pipeline:
        """A diffusers pipeline, named without importing diffusers."""


@contextmanager
def borrowed(pipeline: Any) -> Iterator[Any]:
    """Restore a pipeline at the end of the block, whatever the block does to it.

    Restored are the training mode and `requires_grad` of every part, dtype, device and
    memory format of the networks, whether they are compiled, the scheduler, and
    accelerate's offload hooks, which are removed for the duration of the block: a hook
    that moves weights away after a call would break the gradient through that call.

    Args:
        pipeline: a diffusers pipeline.
    """
    parts = [p for p in pipeline.components.values() if isinstance(p, nn.Module)]
    device = getattr(pipeline, "_execution_device", pipeline.device)
    with ExitStack() as stack:  # which undoes the last change first
        scheduler = getattr(pipeline, "scheduler", None)
        stack.callback(setattr, pipeline, "scheduler", scheduler)
        for part in parts:
            _remember(stack, part, device)
        yield pipeline


def _remember(stack: ExitStack, part: Any, device: torch.device) -> None:
    """Let the stack restore a part; move it to the device if hooks have moved it."""
    dtype, home = part.dtype, part.device
    hooked = [module for module in part.modules() if hasattr(module, "_hf_hook")]
    for module in hooked:  # hooks are the last to come back, and place their weights
        stack.callback(_add_hook, module, module._hf_hook)  # noqa: SLF001
    stack.callback(_restore, part, dtype, None if hooked else home)
    for module in part.modules():
        stack.callback(setattr, module, "training", module.training)
        compiled = module._compiled_call_impl  # noqa: SLF001 - set by nn.Module.compile
        stack.callback(setattr, module, "_compiled_call_impl", compiled)
    for parameter in part.parameters():
        stack.callback(parameter.requires_grad_, parameter.requires_grad)
        stack.callback(_restore_strides, parameter, parameter.stride())
    for module in hooked:
        _remove_hook(module)
    if hooked:
        part.to(device)


def _restore(part: Any, dtype: torch.dtype, device: torch.device | None) -> None:
    if part.dtype != dtype:
        part.to(dtype)
    if device is not None and part.device != device:
        part.to(device)


def _restore_strides(parameter: nn.Parameter, strides: tuple[int, ...]) -> None:
    if parameter.stride() != strides:
        restored = torch.empty_strided(
            parameter.shape,
            strides,
            dtype=parameter.dtype,
            device=parameter.device,
        )
        parameter.data = restored.copy_(parameter.data)


def _add_hook(module: nn.Module, hook: Any) -> None:
    from accelerate.hooks import add_hook_to_module

    add_hook_to_module(module, hook)


def _remove_hook(module: nn.Module) -> None:
    from accelerate.hooks import remove_hook_from_module

    remove_hook_from_module(module)
