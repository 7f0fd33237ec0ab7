"""Memory: how much a network's graph takes, and how much is available."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

MEMINFO = Path("/proc/meminfo")
OWN_CGROUPS = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def graph_bytes(call: Callable[[], Tensor]) -> int:
    """Return the bytes that are kept for the gradient of a call's result.

    Only tensors that are freed together with the graph count; weights are not freed.
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


def available_bytes(device: torch.device) -> int:
    """Return the bytes that a process can still allocate on a device.

    On a CUDA device this is its free memory plus the unused cache of PyTorch's
    allocator.
    In main memory the file cache counts as available, since the system gives it up on
    demand, and a container's limit counts as well as the machine's memory.

    Returns:
        bytes; 0 where the system does not say.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(
            device
        )
        return torch.cuda.mem_get_info(device)[0] + cached
    if sys.platform == "darwin":
        return _available_on_mac()
    return min([_available_on_linux(), *_left_in_cgroups()])


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device or the machine has no memory left."""
    return isinstance(
        error, torch.OutOfMemoryError | MemoryError
    ) or "can't allocate memory" in str(error)


def _available_on_linux() -> int:
    """Return the bytes of `MemAvailable`, the kernel's own estimate."""
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def _left_in_cgroups() -> Iterator[int]:
    """Return the bytes left under each memory limit of this process's control groups.

    A group's limit also holds for the groups inside it, so all groups from the
    process's own up to the root are read.
    """
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        hierarchy, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if hierarchy == "0" and not controllers:  # version 2
            root, names = CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):  # version 1
            root = CGROUPS / "memory"
            names = (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        else:
            continue
        own = Path(path.strip("/"))
        for group in (own, *own.parents):
            left = _left_in(root / group, *names)
            if left is not None:
                yield left


def _left_in(group: Path, limit: str, usage: str, cache: str) -> int | None:
    """Return the bytes that a group's limit leaves, None where it has no limit.

    Args:
        group: folder of the control group.
        limit: file with the limit in bytes, or with `max` for none.
        usage: file with the bytes in use, which include the file cache.
        cache: name of the reclaimable file cache in `memory.stat`.
    """
    try:
        most, used = (int((group / name).read_text()) for name in (limit, usage))
    except (OSError, ValueError):  # no such group, or no limit
        return None
    try:
        lines = (group / "memory.stat").read_text().splitlines()
        used -= next(int(v) for k, v in map(str.split, lines) if k == cache)
    except (OSError, ValueError, StopIteration):
        pass
    return max(most - used, 0)


def _available_on_mac() -> int:
    """Return the bytes of the pages that `vm_stat` counts as free or reclaimable."""
    try:
        text = subprocess.run(
            ["vm_stat"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
        page = int(text.partition("page size of ")[2].split()[0])
        counts = dict(line.split(":") for line in text.splitlines()[1:] if ":" in line)
        names = ("Pages free", "Pages inactive", "Pages speculative")
        return page * sum(int(counts[name].strip(" .")) for name in names)
    except (OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError):
        return 0
