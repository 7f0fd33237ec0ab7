"""`doodl fit --dry-run`: check a job and measure what it will cost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from rich.console import Console
from torch import Tensor

from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.jobs.cost import METRICS, Call, Cost
from doodl.jobs.data import PromptsAndSeeds
from doodl.pretrained.outline import fill, outline
from doodl.sampling import memory
from doodl.sampling.adjoints import BudgetAdjoint, DirectAdjoint
from doodl.sampling.denoiser import Conditioning


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
    free = memory.available_bytes(device)
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
    pair = torch.stack((latent,) * module.parts.method.num_latents)
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
