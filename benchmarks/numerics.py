"""Prints how exact the inverse and the gradient are, by precision.

    python benchmarks/numerics.py [--model shapes] [--device cpu]

The script combines several T and p, precisions of the networks and of the latents, and
adjoints. `round trip` is the largest error after inverting a chain and sampling it
again, relative to the latents' spread. `gradient` is the relative error of an update's
gradient against the one with networks and latents in float64, followed by the share of
its elements that underflow to 0. `safe` means a gradient error below 1%. Networks in 16
bits have errors of their own, which the checkpoint adjoint shows too, independently of
the latents; they are run with the first precision of `--latents` only.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from workload import Networks, Workload, load

from doodl.sampling.adjoints import Adjoint, CheckpointAdjoint, ReversibleAdjoint

CHAINS = ((10, 0.6), (20, 0.75), (50, 0.93), (100, 0.97))
ADJOINTS: dict[str, Adjoint] = {
    "checkpoint": CheckpointAdjoint(),
    "reversible": ReversibleAdjoint(),
}


def gradient(
    networks: Networks, adjoint: Adjoint, steps: int, mixing: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the latents' gradient, and the round-trip error."""
    work = Workload(networks, 1, mixing=mixing)
    work.latents = work.latents.detach().to(dtype).requires_grad_()
    sampler = work.sampler(steps, adjoint)
    work.update(sampler)
    with torch.no_grad():
        final = sampler.sample(work.latents, work.conditioning)
        back = sampler.invert(final, work.conditioning)
    assert work.latents.grad is not None
    error = (back - work.latents).abs().max() / work.latents.std()
    return work.latents.grad.double(), error


def main() -> None:
    """Measure every combination and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="shapes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--latents", nargs="+", default=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=2)
    known = parser.parse_args()
    torch.set_num_threads(known.threads)

    exact = load(known.model, known.device, torch.float64)
    references = {}
    for steps, mixing in CHAINS:  # checkpoint has the bits of the direct gradient
        chain = steps, mixing, torch.float64
        references[steps, mixing] = gradient(exact, CheckpointAdjoint(), *chain)[0]
    columns = (
        "T",
        "p",
        "latents",
        "adjoint",
        "round trip",
        "gradient",
        "zeros",
        "safe",
    )
    print(f"{'networks':10}" + "".join(f"{column:>12}" for column in columns))
    for network in known.networks:
        networks = load(known.model, known.device, getattr(torch, network))
        for steps, mixing in CHAINS:
            reference = references[steps, mixing]
            for latents in known.latents[: None if network == "float32" else 1]:
                for name, adjoint in ADJOINTS.items():
                    dtype = getattr(torch, latents)
                    found, trip = gradient(networks, adjoint, steps, mixing, dtype)
                    error = ((found - reference).norm() / reference.norm()).item()
                    zeros = (found == 0).double().mean().item()
                    safe = "yes" if error < 0.01 else "no"
                    print(
                        f"{network:10}{steps:12d}{mixing:12.2f}{latents:>12}"
                        f"{name:>12}{trip.item():12.1e}{error:12.1e}{zeros:12.4f}"
                        f"{safe:>12}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
