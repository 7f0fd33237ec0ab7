"""Measures what network calls cost, or estimates it where measuring takes too long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from doodl.sampling import memory

LIMIT = 30.0
"""Seconds that all timing of a dry run may take."""
WORTH_TIMING = 50
"""Network calls of a job from which on the calls are timed, about ten of each kind."""
REPEATS = 3
SIDE = 1024
"""Rows of the square matrices whose product measures a device's speed."""
EFFICIENCY = 0.5
"""Share of that speed that the networks of diffusion models typically reach."""


@dataclass(frozen=True)
class CallCost:
    """Cost of one network call for a batch, without and with its gradient.

    Args:
        seconds: time of the call.
        gradient_seconds: time of the call and its gradient.
        flops: FLOPs of the call.
        gradient_flops: FLOPs of the call and its gradient.
        graph: bytes kept for the gradient.
        estimated: whether the times follow from FLOPs instead of a measurement.
    """

    seconds: float = 0.0
    gradient_seconds: float = 0.0
    flops: int = 0
    gradient_flops: int = 0
    graph: int = 0
    estimated: bool = False

    def times(self, count: int, *, apart: bool) -> CallCost:
        """Return the cost of several calls.

        Args:
            count: number of calls.
            apart: whether each graph is freed before the next call.
        """
        return replace(
            self,
            seconds=count * self.seconds,
            gradient_seconds=count * self.gradient_seconds,
            flops=count * self.flops,
            gradient_flops=count * self.gradient_flops,
            graph=self.graph * (1 if apart else count),
        )


def count_flops(call: Callable[[Tensor], Tensor], inputs: Tensor) -> CallCost:
    """Return the FLOPs and the graph of a call, without times.

    Tensors and weights on the `meta` device suffice, and make this free.
    """
    inputs = inputs.detach().requires_grad_()
    return CallCost(
        flops=_flops(partial(_forward, call, inputs)),
        gradient_flops=_flops(partial(_gradient, call, inputs)),
        graph=memory.graph_bytes(lambda: call(inputs)),
    )


class Stopwatch:
    """Times network calls until `LIMIT` seconds are used up, then estimates.

    Args:
        device: device of the networks.
        dtype: type in which they compute.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.left, self.gave_up = device, LIMIT, False
        a = torch.ones(SIDE, SIDE, device=device, dtype=dtype)
        first = self._timed(lambda: a @ a)
        self.rate = EFFICIENCY * 2 * SIDE**3 / self._shortest(lambda: a @ a, first)

    def fits(self, *counted: CallCost) -> bool:
        """Return whether each call and its gradient can be timed once in the limit."""
        flops = sum(cost.flops + cost.gradient_flops for cost in counted)
        return flops / self.rate < self.left

    def estimate(self, counted: CallCost) -> CallCost:
        """Return the cost with times that follow from FLOPs, and say so once."""
        if not self.gave_up:
            say("timing would take longer than it is worth: estimated from FLOPs")
        self.gave_up = True
        return replace(
            counted,
            seconds=counted.flops / self.rate,
            gradient_seconds=counted.gradient_flops / self.rate,
            estimated=True,
        )

    def measure(
        self,
        name: str,
        call: Callable[[Tensor], Tensor],
        inputs: Tensor,
        counted: CallCost,
    ) -> CallCost:
        """Return the cost of a call; times are the shortest of up to three runs.

        What does not fit into the time that is left is estimated.

        Args:
            name: what is timed, for the line that announces it.
            call: a network, as a function of one input.
            inputs: the input by which the gradient is taken.
            counted: what `count_flops` returned for the call.
        """
        if not self.fits(counted):
            return self.estimate(counted)
        say(f"timing {name} on {self.device.type}")
        inputs = inputs.detach().requires_grad_()
        sizes: list[int] = []
        first = self._timed(
            lambda: sizes.append(memory.graph_bytes(lambda: call(inputs)))
        )
        counted = replace(counted, graph=sizes[0])
        if first > self.left:
            self.rate = counted.flops / first
            return self.estimate(counted)
        forward = self._run(partial(_forward, call, inputs))
        self.rate = counted.flops / forward[0]  # the first run is slower: it warms up
        if not self.fits(counted):
            return self.estimate(counted)
        gradient = self._run(partial(_gradient, call, inputs))
        return replace(
            counted,
            seconds=forward[0],
            gradient_seconds=gradient[0],
            flops=forward[1],
            gradient_flops=gradient[1],
        )

    def _run(self, run: Callable[[], object]) -> tuple[float, int]:
        """Return the shortest time of a few runs, and the FLOPs of one."""
        with FlopCounterMode(display=False) as counter:
            first = self._timed(run)
        return self._shortest(run, first), counter.get_total_flops()

    def _shortest(self, run: Callable[[], object], first: float) -> float:
        """Return the shortest time of further runs, or of the first without time."""
        found: list[float] = []
        while len(found) < REPEATS and self.left > first:
            found.append(self._timed(run))
        return min(found, default=first)

    def _timed(self, run: Callable[[], object]) -> float:
        """Return the seconds that a run takes, which are not left afterwards."""
        began = time.perf_counter()
        run()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = max(time.perf_counter() - began, 1e-9)
        self.left -= seconds
        return seconds


def _forward(call: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
    with torch.no_grad():
        call(inputs)


def _gradient(call: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
    with torch.enable_grad():
        call(inputs).sum().backward()


def _flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def say(sentence: str) -> None:
    """Print a sentence on stderr, so that the table on stdout stays alone."""
    print(f"doodl: {sentence}", file=sys.stderr, flush=True)
