"""`doodl fit --dry-run`: measures what a job will cost without loading any weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from lightning import Trainer
from rich.console import Console
from torch import Tensor

from doodl.events import Events
from doodl.guided_generation import GuidedGeneration
from doodl.jobs.cost import METRICS, JobCost, cost_table
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.generations import count_remaining
from doodl.jobs.probe import Probe
from doodl.jobs.timing import CallCost
from doodl.precision import placement_of
from doodl.pretrained import TextToImage
from doodl.pretrained.outline import outline
from doodl.rendering import Renderer
from doodl.sampling import memory
from doodl.sampling.adjoints import reverses
from doodl.sampling.gradient import GradientCalls, gradient_calls


def dry_run(
    module: GuidedGeneration, data: PromptsAndSeeds, trainer: Trainer
) -> JobCost:
    """Return what a job will cost.

    Only configurations and tokenizers are read. One call of each network is timed with
    random weights, in the precision of the job; where that would take longer than
    `timing.LIMIT`, or the job is tiny, its time is estimated from its FLOPs.

    Args:
        module: the module, whose networks are not loaded.
        data: the generations of the job.
        trainer: its device, its precision, and its callbacks, which know the
            generations that are finished.

    Raises:
        ValueError: the settings do not fit the model, or there is too little memory for
            the networks.
    """
    placement, settings = placement_of(trainer), module.settings
    device = placement["device"]
    model = outline(module.pretrained, placement["dtype"], module.loading)
    renderer = Renderer(model, settings, autocast=placement["autocast"])
    weights = sum(p.numel() * p.element_size() for p in _parameters(model))
    available = _room(weights, device)
    events = Events(trainer.callbacks)  # type: ignore[attr-defined]
    rest = count_remaining(data.batches(), events.remaining)
    batch = rest.largest or 1
    probe = Probe.prepare(renderer, data.generations.sample(), batch)
    planned = rest.batches * module.num_updates * probe.num_calls
    calls, decoder = probe.measure(device, planned)
    height, width = (side * model.factor for side in renderer.shape[1:])
    apart = settings.execution.apart(device, height * width)
    latent = math.prod(renderer.shape) * settings.latents_dtype.itemsize
    edit, chain = settings.edit, probe.num_calls
    count = settings.method.num_latents
    pictures = 9 * height * width  # three of them, at most 3 bytes a pixel
    return JobCost(
        remaining=rest.generations,
        batches=rest.batches,
        batch=batch,
        updates=module.num_updates,
        guided=len(probe.guided),
        plain=len(probe.plain),
        calls=calls,
        decoder=decoder.times(count * batch, apart=apart),
        gradient=_gradient(renderer, calls, available),
        other_chains=1 + (edit.num_calls(chain) / chain if edit else 0),
        reversible=settings.method.reversible,
        reconstructs=reverses(renderer.sampler.adjoint),
        weights=weights,
        latents=batch * latent,
        disk=pictures + 2 * count * latent + METRICS * module.num_updates,
        processes=trainer.world_size,
    )


def print_cost(cost: JobCost) -> None:
    """Print what a job costs."""
    console = Console()
    console.print(cost_table(cost))
    console.print("Not counted: guide, judge, and loading the networks.")


def _parameters(model: TextToImage) -> Iterator[Tensor]:
    for network in model.networks():
        yield from network.parameters()


def _room(weights: int, device: torch.device) -> int:
    """Return the bytes that a device has left beside the weights; 0 if unknown.

    Raises:
        ValueError: the weights do not fit.
    """
    available = memory.available_bytes(device)
    if available and weights > available:
        raise ValueError(
            f"Expected room for the networks' {weights / 2**30:.3g} GiB, found "
            f"{available / 2**30:.3g} GiB; choose a smaller precision or another "
            "machine."
        )
    return max(available - weights, 0)


def _gradient(
    renderer: Renderer, calls: Sequence[CallCost], available: int
) -> GradientCalls:
    """Return what the gradient of a chain takes, by the graphs that memory holds."""
    sampler, graph = renderer.sampler, max(call.graph for call in calls)
    moves = sampler.moves(renderer.start)
    return gradient_calls(sampler.adjoint, moves, graph, available)
