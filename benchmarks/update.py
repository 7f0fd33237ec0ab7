"""Prints the cost of one update for several adjoints, steps and batch sizes.

    python benchmarks/update.py [--model shapes] [--steps 10 20] [--batches 1 4]

`calls` is the sum of the times of an update's network calls, each measured alone: the
denoiser without and with its input's gradient, decoder and guide. `over` is the
update's time divided by it. `MiB` is the peak that autograd keeps, on a GPU the peak of
allocated memory, both without the weights.
"""

from __future__ import annotations

import argparse

import torch
from measuring import cost, seconds
from torch import Tensor
from workload import Workload, load

from doodl.sampling.adjoints import (
    Adjoint,
    BudgetAdjoint,
    CheckpointAdjoint,
    DirectAdjoint,
    ReversibleAdjoint,
)
from doodl.sampling.denoiser import GuidedDenoiser

ADJOINTS: dict[str, Adjoint] = {
    "reversible": ReversibleAdjoint(),
    "checkpoint": CheckpointAdjoint(),
    "budget": BudgetAdjoint(fraction=0.5),
    "direct": DirectAdjoint(),
}
REPEATED = ("reversible", "checkpoint")
"""Adjoints that ask the network again in backward."""


class Calls:
    """Seconds of the network calls of one update, each measured alone."""

    def __init__(self, work: Workload) -> None:
        networks, told = work.networks, work.conditioning
        denoiser = GuidedDenoiser(networks.network, work.scale, work.dtype)
        z = work.latents.detach()[0]

        def forward() -> Tensor:
            with torch.no_grad():
                return denoiser(z, 500, told)

        def both() -> object:
            query = z.clone().requires_grad_()
            prediction = denoiser(query, 500, told)
            return torch.autograd.grad(prediction, query, torch.ones_like(prediction))

        def image() -> object:
            final = work.latents.detach().flatten(0, 1).requires_grad_()
            return torch.autograd.grad(work.look(final).sum(), final)

        self.forward, self.both = seconds(forward), seconds(both)
        self.image = seconds(image)

    def update(self, steps: int, *, repeated: bool) -> float:
        """Return the seconds of an update's calls."""
        chain = 2 * steps * (self.both + (self.forward if repeated else 0))
        return chain + self.image


def main() -> None:
    """Measure every combination and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="shapes", help="a folder, sd14 or tiny")
    parser.add_argument("--adjoints", nargs="+", default=["reversible", "checkpoint"])
    parser.add_argument("--steps", nargs="+", type=int, default=[10, 20])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    known = parser.parse_args()
    torch.set_num_threads(known.threads)

    networks = load(known.model, known.device, getattr(torch, known.dtype))
    print(f"{known.model}, {known.dtype}, {known.device}")
    columns = ("T", "B", "s", "TFLOP", "MiB", "calls s", "over")
    print(f"{'':12}" + "".join(f"{column:>9}" for column in columns))
    for batch in known.batches:
        work = Workload(networks, batch)
        calls = Calls(work)
        for name in known.adjoints:
            for steps in known.steps:
                sampler = work.sampler(steps, ADJOINTS[name])
                work.update(sampler)  # a budget measures once
                _start_counting()
                found = cost(
                    lambda w=work, s=sampler: w.update(s),
                    networks.weights,
                    known.repeats,
                )
                alone = calls.update(steps, repeated=name in REPEATED)
                memory = _mebibytes(found.saved_bytes, networks.weights)
                print(
                    f"{name:12}{steps:9d}{batch:9d}{found.seconds:9.2f}"
                    f"{found.flops / 1e12:9.3f}{memory:9.1f}"
                    f"{alone:9.2f}{found.seconds / alone:9.2f}"
                )


def _start_counting() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _mebibytes(saved: int, weights: list[Tensor]) -> float:
    if torch.cuda.is_available():
        size = sum(w.nbytes for w in weights)
        return (torch.cuda.max_memory_allocated() - size) / 2**20
    return saved / 2**20


if __name__ == "__main__":
    main()
