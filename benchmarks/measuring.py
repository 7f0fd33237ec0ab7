"""Measures seconds, FLOPs and saved bytes of one call, for the other benchmarks."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Cost of a call: shortest time in seconds, FLOPs, peak of saved bytes."""

    seconds: float
    flops: int
    saved_bytes: int


class SavedBytes:
    """Counts the bytes that autograd keeps alive at the same time, without weights.

    Args:
        ignored: tensors that do not count, as weights.
    """

    def __init__(self, ignored: list[Tensor]) -> None:
        self.ignored = {t.untyped_storage().data_ptr() for t in ignored}
        self.live: dict[int, tuple[int, int]] = {}
        self.now = self.peak = 0

    def __enter__(self) -> SavedBytes:
        hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda box: box.t)
        self.hooks = hooks
        hooks.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        self.hooks.__exit__(*args)

    def _pack(self, tensor: Tensor) -> _Box:
        box = _Box(tensor)
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key not in self.ignored:
            users, _ = self.live.get(key, (0, size))
            self.now += 0 if users else size
            self.live[key] = (users + 1, size)
            self.peak = max(self.peak, self.now)
            weakref.finalize(box, self._release, key)
        return box

    def _release(self, key: int) -> None:
        users, size = self.live.pop(key)
        if users > 1:
            self.live[key] = (users - 1, size)
        else:
            self.now -= size


class _Box:
    def __init__(self, tensor: Tensor) -> None:
        self.t = tensor


def synchronise() -> None:
    """Wait until a CUDA device has finished; return at once on a CPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Return the shortest time of several calls, after one call to warm up."""
    call()
    found = []
    for _ in range(repeats):
        synchronise()
        start = time.perf_counter()
        call()
        synchronise()
        found.append(time.perf_counter() - start)
    return min(found)


def counted(call: Callable[[], object], weights: list[Tensor]) -> tuple[int, int]:
    """Return the FLOPs of a call and the peak of the bytes that autograd keeps."""
    with FlopCounterMode(display=False) as counter, SavedBytes(weights) as saved:
        call()
    return counter.get_total_flops(), saved.peak


def cost(call: Callable[[], object], weights: list[Tensor], repeats: int = 3) -> Cost:
    """Measure a call: once for FLOPs and bytes, then `repeats` times for seconds."""
    flops, saved = counted(call, weights)
    return Cost(seconds(call, repeats), flops, saved)
