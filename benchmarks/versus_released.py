"""Compares the cost of our update with the call structure of the released code.

    python benchmarks/versus_released.py [--model shapes] [--steps 20] [--threads 2]

The other column rewrites the released code: conditional and unconditional predictions
in two calls, no frozen network (every weight's gradient is computed), one checkpoint
per EDICT step, both images of a pair at once, one generation at a time. Weights,
process and crops are the same. Every round measures both, one after the other, so that
a busy machine slows both; `budget` keeps the graphs that fit into memory.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from measuring import counted, synchronise
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from update import ADJOINTS
from workload import Workload, load

from doodl.sampling.schedule import Step


class Released(Workload):
    """One update through the released code's call structure."""

    def released(self, steps: int) -> None:
        """Compute the gradient as the released code does."""
        x, y = self.latents.unbind()
        for index, step in enumerate(self.networks.schedule.steps(steps)):
            x, y = checkpoint(self._step, x, y, step, index, use_reentrant=False)
        self.distances(torch.cat((x, y)), torch.arange(2))[0].sum().backward()

    def _step(
        self, x: Tensor, y: Tensor, step: Step, index: int
    ) -> tuple[Tensor, Tensor]:
        pair = [x, y]
        for k in (0, 1) if index % 2 == 0 else (1, 0):
            noise = self._noise(pair[1 - k], step.t)
            pair[k] = step.a * pair[k] + step.b * noise
        x = self.mixing * pair[0] + (1 - self.mixing) * pair[1]
        return x, self.mixing * pair[1] + (1 - self.mixing) * x

    def _noise(self, z: Tensor, t: int) -> Tensor:
        timesteps = torch.full((len(z),), t, device=z.device)
        inputs, told = z.to(self.dtype), self.conditioning
        negative = self.networks.network(inputs, timesteps, **told.negative).to(z)
        positive = self.networks.network(inputs, timesteps, **told.positive).to(z)
        return negative + self.scale * (positive - negative)


def main() -> None:
    """Measure both, ours at one and at four generations, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="shapes", help="or sd14, or tiny")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    known = parser.parse_args()
    torch.set_num_threads(known.threads)

    frozen = load(known.model, known.device, getattr(torch, known.dtype))
    thawed = copy.deepcopy(frozen)
    for part in thawed.parts:
        part.requires_grad_(True)
    weights = [*frozen.weights, *thawed.weights]
    reference = Released(thawed, 1)
    theirs = partial(reference.released, known.steps)
    flops, saved = counted(theirs, weights)
    print(
        f"{known.model}, T = {known.steps}, {known.threads} threads; per image, "
        f"released / ours; times: median of {known.repeats} rounds and their range"
    )
    print(f"{'':18}{'times faster':>20}{'FLOPs':>9}{'bytes':>9}")
    for batch in (1, 4):
        for name in ("reversible", "budget"):
            work = Workload(frozen, batch)
            sampler = work.sampler(known.steps, ADJOINTS[name])
            update = partial(work.update, sampler)
            update()  # a budget measures once
            our_flops, our_saved = counted(update, weights)
            ratios = [batch * once(theirs) / once(update) for _ in range(known.repeats)]
            ratio = f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
            label = f"B={batch}, {name}"
            print(
                f"{label:18}{ratio:>20}{batch * flops / our_flops:9.2f}"
                f"{batch * saved / our_saved:9.2f}",
                flush=True,
            )


def once(call: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    synchronise()
    start = time.perf_counter()
    call()
    synchronise()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
