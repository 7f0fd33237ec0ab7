"""Prints what an update of Stable Diffusion 1.4's size costs on a GPU.

    python benchmarks/gpu_update.py [--model sd14] [--device cuda]

U-Net (860 M parameters), autoencoder and a ViT-L/14 guide have random weights, so that
nothing is downloaded; the arithmetic is the same. The script uses guidance 7.5 and
512 x 512 pixels. For float32 and bfloat16 it prints seconds and peak memory of an
update for several T; then, for several B, generations a second and the share of the
FLOP/s that a matrix product reaches. `--model tiny --device cpu` tests the script.
"""

from __future__ import annotations

import argparse

import torch
from measuring import seconds
from torch.utils.flop_counter import FlopCounterMode
from update import ADJOINTS, REPEATED, Calls
from workload import Networks, Workload, load


def ceiling(device: str, dtype: torch.dtype) -> float:
    """Return the FLOPs a second of a large matrix product."""
    size = 8192 if device == "cuda" else 1024
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    return 2 * size**3 / seconds(lambda: a @ b, repeats=10)


def peak(device: str) -> float:
    """Return the peak of allocated memory in GiB, or NaN if it is unknown."""
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else torch.nan


def line(
    networks: Networks, name: str, steps: int, batch: int, limit: float, repeats: int
) -> str:
    """Measure one combination of settings and print a line."""
    work = Workload(networks, batch, scale=7.5, mixing=0.93)
    calls = Calls(work)
    sampler = work.sampler(steps, ADJOINTS[name])
    with FlopCounterMode(display=False) as counter:
        work.update(sampler)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    taken = seconds(lambda: work.update(sampler), repeats)
    alone = calls.update(steps, repeated=name in REPEATED)
    share = counter.get_total_flops() / taken / limit
    device = networks.text.device.type
    return (
        f"{str(networks.text.dtype)[6:]:10}{name:12}{steps:6d}{batch:4d}{taken:9.2f}"
        f"{peak(device):9.2f}{taken / alone:8.2f}{batch / taken:10.3f}{share:9.2f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sd14", choices=["sd14", "tiny"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument(
        "--adjoints", nargs="+", default=["reversible", "checkpoint", "budget"]
    )
    parser.add_argument("--steps", nargs="+", type=int, default=[10, 50, 200])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=2)
    known = parser.parse_args()
    if known.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; try --model tiny --device cpu")
    if known.device == "cuda":
        print(torch.cuda.get_device_name())
    print(
        f"{'':10}{'':12}{'T':>6}{'B':>4}{'s':>9}{'GiB':>9}{'over':>8}"
        f"{'images/s':>10}{'ceiling':>9}"
    )
    for name in known.dtypes:
        dtype = getattr(torch, name)
        limit = ceiling(known.device, dtype)
        networks = load(known.model, known.device, dtype)
        for adjoint in known.adjoints:
            for steps in known.steps:
                print(
                    line(networks, adjoint, steps, 1, limit, known.repeats), flush=True
                )
        for batch in (b for b in known.batches if b > 1):
            steps = known.steps[min(1, len(known.steps) - 1)]
            print(
                line(networks, "reversible", steps, batch, limit, known.repeats),
                flush=True,
            )


if __name__ == "__main__":
    main()
