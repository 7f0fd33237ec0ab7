"""What a job will cost: `doodl fit --dry-run`, before any weights are read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from doodl.data import Generation, PromptsAndSeeds
from doodl.generation import GuidedGeneration
from doodl.pretrained.outline import fill, outline
from doodl.sampling import memory
from doodl.sampling.adjoints import BudgetAdjoint, DirectAdjoint
from doodl.sampling.denoiser import Conditioning

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


def dry_run(
    module: GuidedGeneration,
    data: PromptsAndSeeds,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    processes: int = 1,
) -> Cost:
    """Check all that a job is given, and return what it will cost.

    Configurations and tokenizers are read, and one call of the network is timed with
    weights made up on the spot.

    Args:
        module: with its archive, if there is one.
        data: what is to be made.
        device: of the networks.
        dtype: of the networks.
        processes: that share the job.

    Raises:
        ValueError: what the job would refuse, and a network without room.
    """
    module.parts.check(data.generations)
    model = outline(module.pretrained, dtype, module.loading)
    module.adopt(model, sixteen_bits=dtype.itemsize == 2)
    told = _told(module, data.generations)
    weights = sum(
        p.numel() * p.element_size()
        for part in model.networks()
        for p in part.parameters()
    )
    free = memory.free_bytes(device)
    if free and weights > free:
        raise ValueError(
            f"Expected room for the networks' {weights / 2**30:.3g} GiB, found "
            f"{free / 2**30:.3g} GiB; choose a smaller precision or another machine."
        )
    fill(model.denoiser, device)
    fill(model.vae, device)

    remaining = module.archive.remaining if module.archive else list
    batches = [rest for batch in data.batches() if (rest := remaining(list(batch)))]
    batch = len(max(batches, key=len, default=[])) or 1
    conditioning = _conditioning(told, batch, device)
    latent = torch.randn(
        batch, *module.shape, device=device, dtype=module.latents_dtype
    )
    denoiser = module.sampler.denoiser
    moves = [m for m in module.sampler.moves(module.start) if m.source is not None]
    times = [m.timestep for m in moves if m.timestep is not None]
    guided = [t for t in times if told.negative is not None and denoiser.guides(t)]
    plain = [t for t in times if t not in guided]
    ask = partial(denoiser, conditioning=conditioning)
    calls = [
        Call.measure(partial(ask, timestep=some[0]), latent) if some else Call()
        for some in (guided, plain)
    ]
    pair = torch.stack((latent,) * module.parts.method.latents)
    height, width = (side * model.factor for side in module.shape[1:])
    size = pair.numel() * pair.element_size()
    return Cost(
        remaining=sum(map(len, batches)),
        batches=len(batches),
        batch=batch,
        updates=module.num_updates,
        guided=len(guided),
        plain=len(plain),
        calls=(calls[0], calls[1]),
        decoder=Call.measure(model.decode, pair[0, :1]).times(
            pair.shape[0] * batch,
            apart=module.execution.apart(device, height * width),
        ),
        repeats=_repeats(module, max(c.graph for c in calls), len(moves), free),
        weights=weights,
        pair=size,
        disk=9 * height * width + 2 * size // batch + METRICS * module.num_updates,
        processes=processes,
    )


def report(cost: Cost) -> None:
    """Print what a job costs."""
    console = Console()
    console.print(cost.table())
    console.print("Not counted: guide, judge, and loading the networks.")


def _told(module: GuidedGeneration, generations: Sequence[Generation]) -> Conditioning:
    """Return what the network is told, without data; warn of prompts that are cut."""
    texts = dict.fromkeys((g.prompt, g.negative_prompt) for g in generations)
    prompts, negatives = zip(*texts, strict=True)
    return module.model.conditioning(
        prompts, negatives, module.shape, module.guidance_scale
    )


def _conditioning(told: Conditioning, batch: int, device: torch.device) -> Conditioning:
    """Return made-up tensors of the same shapes for a batch."""

    def made(named: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: torch.randn(batch, *value.shape[1:], device=device, dtype=value.dtype)
            for name, value in named.items()
        }

    negative = told.negative and made(dict(told.negative))
    return Conditioning(made(dict(told.positive)), negative)


def _repeats(module: GuidedGeneration, graph: int, calls: int, free: int) -> float:
    """Return how much of a chain the module's adjoint calls a second time."""
    adjoint = module.parts.adjoint
    if isinstance(adjoint, DirectAdjoint):
        return 0.0
    if isinstance(adjoint, BudgetAdjoint):
        return 1 - min(1.0, adjoint.bytes(free) // max(graph, 1) / calls)
    return 1.0


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
