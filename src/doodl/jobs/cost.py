"""What a whole job costs, computed from the cost of single network calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from rich.table import Table

from doodl.jobs.timing import CallCost
from doodl.sampling.gradient import GradientCalls

METRICS = 400
"""Typical bytes of one update's line in `metrics.jsonl`."""


@dataclass(frozen=True)
class JobCost:
    """Cost of a job, without guide, judge, and loading the networks.

    Args:
        remaining: number of generations that still have to be made.
        batches: number of batches that they form.
        batch: number of generations in the measured batch.
        updates: number of updates of each generation.
        guided: calls per chain with guidance; each makes two predictions.
        plain: calls per chain without guidance; each makes one prediction.
        calls: cost of a guided call and of a plain call.
        decoder: cost of decoding all latents of a batch.
        gradient: how many calls of a chain are differentiated, and how many of them
            backward runs again.
        other_chains: chains without a gradient per batch: the last rendering, and what
            an edit's initial latents take, as a share of a chain.
        reversible: whether the method can be reversed.
        reconstructs: whether the adjoint reverses the chain instead of storing states.
        weights: bytes of the networks.
        latents: bytes of one latent of each generation of the batch.
        disk: bytes of a generation's files, at most.
        processes: number of processes that share the job.
    """

    remaining: int
    batches: int
    batch: int
    updates: int
    guided: int
    plain: int
    calls: tuple[CallCost, CallCost]
    decoder: CallCost
    gradient: GradientCalls
    other_chains: float
    reversible: bool
    reconstructs: bool
    weights: int
    latents: int
    disk: int
    processes: int

    def _chain(self, value: Callable[[CallCost], float]) -> float:
        guided, plain = self.calls
        return self.guided * value(guided) + self.plain * value(plain)

    @property
    def estimated(self) -> bool:
        """Whether times follow from FLOPs instead of a measurement."""
        return any(cost.estimated for cost in (*self.calls, self.decoder))

    def _update(self, alone: float, with_gradient: float) -> float:
        """Return what the calls of an update cost, from those of a whole chain."""
        forward, repeated, differentiated = self.gradient
        plain = forward + repeated - differentiated
        return (plain * alone + differentiated * with_gradient) / max(forward, 1)

    @property
    def flops(self) -> float:
        """FLOPs of one update of a batch."""
        chain = self._chain(lambda c: c.flops), self._chain(lambda c: c.gradient_flops)
        return self._update(*chain) + self.decoder.gradient_flops

    @property
    def seconds(self) -> float:
        """Seconds of one update of a batch."""
        alone = self._chain(lambda c: c.seconds)
        with_gradient = self._chain(lambda c: c.gradient_seconds)
        return self._update(alone, with_gradient) + self.decoder.gradient_seconds

    @property
    def total(self) -> float:
        """Seconds of the whole job."""
        chains = self.other_chains * self._chain(lambda c: c.seconds)
        rounds = -(-self.batches // self.processes)
        batch = self.updates * self.seconds + chains + self.decoder.seconds
        return rounds * batch

    @property
    def states(self) -> int:
        """Bytes of the latents before every call of a chain."""
        return (self.guided + self.plain) * self.latents

    @property
    def kept(self) -> int:
        """Calls of a chain whose graph the adjoint keeps, so that none is repeated."""
        return self.gradient.differentiated - self.gradient.repeated

    @property
    def peak(self) -> int:
        """Peak bytes with the adjoint of the job."""
        repeats = self.gradient.repeated > 0
        share = self.kept / max(self.gradient.differentiated, 1)
        graphs = int(share * self._chain(lambda c: c.graph))
        graph = max(call.graph for call in self.calls) if repeats else 0
        states = self.states if repeats and not self.reconstructs else 0
        return self.weights + graphs + states + max(graph, self.decoder.graph)

    def memory(self) -> dict[str, int]:
        """Return the peak bytes of each exact adjoint that works with the method."""
        graph = max(call.graph for call in self.calls)
        every = int(self._chain(lambda c: c.graph))
        peak = max(graph, self.decoder.graph)
        found = {
            "reversible": self.weights + peak,
            "checkpoint": self.weights + self.states + peak,
            "direct": self.weights + every + self.decoder.graph,
        }
        return {k: v for k, v in found.items() if self.reversible or k != "reversible"}


def cost_table(cost: JobCost) -> Table:
    """Return the cost of a job as lines of text."""
    calls, repeated, differentiated = cost.gradient
    alone = f", {cost.plain} of them without guidance" if cost.plain else ""
    method = ", estimated from FLOPs" if cost.estimated else ""
    others = round(cost.other_chains * calls)
    processes = f"{cost.processes} process{'es' if cost.processes > 1 else ''}"
    rows = {
        "generations": f"{cost.remaining} in {cost.batches} batches",
        "network calls an update": f"{calls} forward, {differentiated} with gradient, "
        f"{repeated} repeated, {cost.kept} graphs kept{alone}",
        "other network calls": f"{others} forward, a batch of {cost.batch}",
        "TFLOP an update": f"{cost.flops / 1e12:.3g}, a batch of {cost.batch}",
        "seconds an update": f"{cost.seconds:.3g}, a batch of {cost.batch}{method}",
        "GiB, as configured": f"{cost.peak / 2**30:.3g}",
        **{
            f"GiB, {adjoint} adjoint": f"{size / 2**30:.3g}"
            for adjoint, size in cost.memory().items()
        },
        "MiB on the disk": f"at most {cost.remaining * cost.disk / 2**20:.3g}",
        "whole job": f"{timedelta(seconds=round(cost.total))} on {processes}{method}",
    }
    table = Table(box=None, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    return table
