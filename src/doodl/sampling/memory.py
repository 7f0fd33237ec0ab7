"""What a graph takes of memory, and what of it is free."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef


def graph_bytes(call: Callable[[], Tensor]) -> int:
    """Return the bytes that live and die with the graph of a call's result.

    Weights outlive it, so that they do not count.
    """
    saved: dict[int, tuple[StorageWeakRef, int]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept = StorageWeakRef(storage)
        saved[kept.cdata] = kept, storage.nbytes()
        return tensor.detach()  # the tensor itself may hold the graph that holds it

    with torch.enable_grad(), saved_tensors_hooks(pack, lambda tensor: tensor):
        result = call()
    del result
    return sum(size for storage, size in saved.values() if storage.expired())


def free_bytes(device: torch.device) -> int:
    """Return the bytes that a device, or the machine, can still give."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(
            device
        )
        return torch.cuda.mem_get_info(device)[0] + cached
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # where it is not known
        return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that an accelerator or the machine has no memory."""
    return isinstance(
        error, torch.OutOfMemoryError | MemoryError
    ) or "can't allocate memory" in str(error)
