"""What network calls cost, and what a job of them does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import torch
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from doodl.sampling import memory

METRICS = 400
"""Bytes of one update's line in `metrics.jsonl`, about."""


@dataclass(frozen=True)
class Call:
    """What one call of a network costs for a batch, and with its gradient.

    Args:
        seconds: of the call.
        gradient_seconds: of the call and its gradient.
        flops: of the call.
        gradient_flops: of the call and its gradient.
        graph: bytes kept for the gradient.
    """

    seconds: float = 0.0
    gradient_seconds: float = 0.0
    flops: int = 0
    gradient_flops: int = 0
    graph: int = 0

    @classmethod
    def measure(cls, call: Callable[[Tensor], Tensor], inputs: Tensor) -> Call:
        """Run a call three times without and three times with its gradient."""
        inputs = inputs.detach().requires_grad_()

        def forward() -> None:
            with torch.no_grad():
                call(inputs)

        def both() -> None:
            with torch.enable_grad():
                call(inputs).sum().backward()

        return cls(
            _seconds(forward, inputs.device),
            _seconds(both, inputs.device),
            _flops(forward),
            _flops(both),
            memory.graph_bytes(lambda: call(inputs)),
        )

    def times(self, count: int, *, apart: bool) -> Call:
        """Return the cost of so many calls, one after the other or at once."""
        return Call(
            count * self.seconds,
            count * self.gradient_seconds,
            count * self.flops,
            count * self.gradient_flops,
            self.graph * (1 if apart else count),
        )


@dataclass(frozen=True)
class Cost:
    """What a job costs, without the guide and without loading.

    Args:
        remaining: generations that are still to be made.
        batches: in which they are made.
        batch: generations in the measured one.
        updates: of each generation.
        guided: network calls of a chain that make two predictions.
        plain: network calls of a chain that make one.
        calls: what a guided and a plain one cost.
        decoder: what decoding a batch costs.
        repeats: of each call, how much of it backward repeats, 0 to 1.
        weights: bytes of the networks.
        pair: bytes of a batch's latents.
        disk: bytes of a generation's files, at most.
        processes: that share the job.
    """

    remaining: int
    batches: int
    batch: int
    updates: int
    guided: int
    plain: int
    calls: tuple[Call, Call]
    decoder: Call
    repeats: float
    weights: int
    pair: int
    disk: int
    processes: int

    def _chain(self, value: Callable[[Call], float]) -> float:
        guided, plain = self.calls
        return self.guided * value(guided) + self.plain * value(plain)

    @property
    def flops(self) -> float:
        """Of one update of a batch."""
        chain = self._chain(lambda c: self.repeats * c.flops + c.gradient_flops)
        return chain + self.decoder.gradient_flops

    @property
    def seconds(self) -> float:
        """Of one update of a batch."""
        chain = self._chain(lambda c: self.repeats * c.seconds + c.gradient_seconds)
        return chain + self.decoder.gradient_seconds

    @property
    def total(self) -> float:
        """Seconds of the whole job."""
        last = self._chain(lambda c: c.seconds) + self.decoder.seconds
        rounds = -(-self.batches // self.processes)
        return rounds * (self.updates * self.seconds + last)

    def memory(self) -> dict[str, int]:
        """Return the bytes that each adjoint needs at its peak."""
        graph = max(call.graph for call in self.calls)
        every = int(self._chain(lambda c: c.graph))
        peak = max(graph, self.decoder.graph)
        stored = (self.guided + self.plain) * self.pair // 2
        return {
            "reversible": self.weights + peak,
            "checkpoint": self.weights + stored + peak,
            "direct": self.weights + every + self.decoder.graph,
        }

    def table(self) -> Table:
        """Return all of it as lines of text."""
        calls = self.guided + self.plain
        alone = f", {self.plain} of them without guidance" if self.plain else ""
        table = Table(box=None, show_header=False)
        rows = {
            "generations": f"{self.remaining} in {self.batches} batches",
            "network calls an update": f"{calls} forward, {calls} with gradient{alone}",
            "TFLOP an update": f"{self.flops / 1e12:.3g}, a batch of {self.batch}",
            "seconds an update": f"{self.seconds:.3g}, a batch of {self.batch}",
            **{
                f"GiB, {adjoint} adjoint": f"{size / 2**30:.3g}"
                for adjoint, size in self.memory().items()
            },
            "MiB on the disk": f"at most {self.remaining * self.disk / 2**20:.3g}",
            "whole job": f"{timedelta(seconds=round(self.total))} on "
            f"{self.processes} process{'es' if self.processes > 1 else ''}",
        }
        for name, value in rows.items():
            table.add_row(name, value)
        return table


def _seconds(call: Callable[[], None], device: torch.device, repeats: int = 3) -> float:
    """Return the fastest of some calls, after one to warm up."""
    found = []
    for _ in range(1 + repeats):
        began = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - began)
    return min(found[1:])


def _flops(call: Callable[[], None]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
