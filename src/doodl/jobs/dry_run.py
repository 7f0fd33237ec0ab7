"""`doodl fit --dry-run`: measures what a job will cost without loading any weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from lightning import Trainer
from rich.console import Console
from torch import Tensor

from doodl.batch import Batch
from doodl.events import Events
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.jobs.cost import METRICS, JobCost, cost_table
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.timing import CallCost, Stopwatch, count_flops, say
from doodl.precision import placement_of
from doodl.pretrained import TextToImage
from doodl.pretrained.outline import fill, outline
from doodl.rendering import Renderer
from doodl.sampling import memory
from doodl.sampling.adjoints import BudgetAdjoint, repeats
from doodl.sampling.denoiser import Conditioning


def dry_run(
    module: GuidedGeneration, data: PromptsAndSeeds, trainer: Trainer
) -> JobCost:
    """Return what a job will cost.

    Only configurations and tokenizers are read. One call of each network is timed with
    random weights, in the precision of the job; where that would take longer than
    `timing.LIMIT`, its time is estimated from its FLOPs.

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
    batches = [rest for batch in data.batches() if (rest := events.remaining(batch))]
    batch = len(max(batches, key=len, default=[])) or 1
    conditioning = _conditioning(renderer, data.generations)
    chain = _chain(renderer, guides=conditioning.negative is not None)
    calls, decoder = _measure(renderer, conditioning, chain, batch, device)

    height, width = (side * model.factor for side in renderer.shape[1:])
    apart = settings.execution.apart(device, height * width)
    latent = math.prod(renderer.shape) * settings.latents_dtype.itemsize
    count = settings.method.num_latents
    pictures = 9 * height * width  # three of them, at most 3 bytes a pixel
    return JobCost(
        remaining=sum(map(len, batches)),
        batches=len(batches),
        batch=batch,
        updates=module.num_updates,
        guided=len(chain[0]),
        plain=len(chain[1]),
        calls=calls,
        decoder=decoder.times(count * batch, apart=apart),
        repeats=_repeats(renderer, calls, sum(map(len, chain)), available),
        other_chains=1 if settings.edit is None else 3,
        reversible=settings.method.reversible,
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


def _chain(renderer: Renderer, *, guides: bool) -> tuple[list[float], list[float]]:
    """Return the timesteps of a chain's calls with guidance, and of those without."""
    moves = renderer.sampler.moves(renderer.settings.start)
    times = [m.timestep for m in moves if m.timestep is not None]
    guided = [t for t in times if guides and renderer.denoiser.guides(t)]
    return guided, [t for t in times if t not in guided]


def _measure(
    renderer: Renderer,
    conditioning: Conditioning,
    chain: tuple[list[float], list[float]],
    batch: int,
    device: torch.device,
) -> tuple[tuple[CallCost, CallCost], CallCost]:
    """Return the cost of a guided call, of a plain call, and of decoding one latent.

    Args:
        renderer: with networks on the `meta` device.
        conditioning: its inputs for the job's prompts, likewise.
        chain: timesteps of the guided and the plain calls.
        batch: number of generations in a call.
        device: device of the job.
    """
    model, denoiser = renderer.model, renderer.denoiser
    dtype = renderer.settings.latents_dtype
    latent = torch.empty(batch, *renderer.shape, dtype=dtype, device="meta")
    inputs = _made_up(conditioning, batch, latent.device)
    counted = [
        count_flops(partial(denoiser, timestep=some[0], conditioning=inputs), latent)
        if some
        else CallCost()
        for some in chain
    ]
    decoder = count_flops(model.decode, latent[:1])
    stopwatch = Stopwatch(device, renderer.autocast or model.dtype)
    if not stopwatch.fits(*counted, decoder):
        say("timing would take too long, so that times are estimated from FLOPs")
        guided, plain, decoder = map(stopwatch.estimate, (*counted, decoder))
        return (guided, plain), decoder

    say("filling the networks with random weights")
    fill(model.denoiser, device)
    fill(model.vae, device)
    latent = torch.randn(batch, *renderer.shape, dtype=dtype, device=device)
    made = Batch([], _made_up(conditioning, batch, device), {})
    guided, plain = (
        stopwatch.measure(
            f"the denoiser {kind} guidance, a batch of {batch},",
            partial(renderer.predict, timestep=some[0], batch=made),
            latent,
            cost,
        )
        if some
        else cost
        for kind, some, cost in zip(("with", "without"), chain, counted, strict=True)
    )

    def decode(z: Tensor) -> Tensor:
        with renderer.precision():
            return model.decode(z)

    decoder = stopwatch.measure("the decoder", decode, latent[:1], decoder)
    return (guided, plain), decoder


def _conditioning(
    renderer: Renderer, generations: Sequence[Generation]
) -> Conditioning:
    """Return the denoiser's inputs without data; warn of prompts that are cut."""
    texts = dict.fromkeys((g.prompt, g.negative_prompt) for g in generations)
    prompts, negatives = zip(*texts, strict=True)
    return renderer.model.conditioning(
        prompts, negatives, renderer.shape, renderer.settings.guidance_scale
    )


def _made_up(
    conditioning: Conditioning, batch: int, device: torch.device
) -> Conditioning:
    """Return random inputs of the denoiser for a batch."""

    def made(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: torch.randn(batch, *value.shape[1:], device=device, dtype=value.dtype)
            for name, value in named.items()
        }

    negative = conditioning.negative and made(conditioning.negative)
    return Conditioning(made(conditioning.positive), negative)


def _repeats(
    renderer: Renderer, calls: Sequence[CallCost], count: int, available: int
) -> float:
    """Return the share of a chain's `count` calls that backward runs again."""
    adjoint = renderer.sampler.adjoint
    if isinstance(adjoint, BudgetAdjoint):
        graph = max(1, *(call.graph for call in calls))
        return 1 - min(1.0, adjoint.bytes(available) // graph / count)
    return float(repeats(adjoint))
