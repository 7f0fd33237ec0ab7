"""Calls the networks of a job once, with random weights and inputs, to measure them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from doodl.batch import Batch
from doodl.generation import Generation
from doodl.jobs.timing import (
    WORTH_TIMING,
    CallCost,
    Stopwatch,
    count_flops,
    say,
)
from doodl.pretrained.outline import fill
from doodl.rendering import Renderer
from doodl.sampling.denoiser import Conditioning

Costs = tuple[tuple[CallCost, CallCost], CallCost]
"""Cost of a guided and of a plain call, and of decoding one latent."""


@dataclass(frozen=True)
class Probe:
    """The network calls of a job.

    Args:
        renderer: a renderer whose networks are on the `meta` device.
        conditioning: inputs of its denoiser on the `meta` device.
        batch: number of generations in a call.
        guided: timesteps of a chain's calls with guidance.
        plain: timesteps of a chain's calls without guidance.
    """

    renderer: Renderer
    conditioning: Conditioning
    batch: int
    guided: list[float]
    plain: list[float]

    @classmethod
    def prepare(
        cls, renderer: Renderer, generations: Sequence[Generation], batch: int
    ) -> Probe:
        """Return the calls for a job's generations; warn of prompts that are cut."""
        texts = dict.fromkeys((g.prompt, g.negative_prompt) for g in generations)
        prompts, negatives = zip(*texts, strict=True)
        settings, denoiser = renderer.settings, renderer.denoiser
        conditioning = renderer.model.conditioning(
            prompts, negatives, renderer.shape, settings.guidance_scale
        )
        moves = renderer.sampler.moves(renderer.start)
        times = [m.timestep for m in moves if m.timestep is not None]
        two = conditioning.negative is not None
        guided = [t for t in times if two and denoiser.guides(t)]
        plain = [t for t in times if t not in guided]
        return cls(renderer, conditioning, batch, guided, plain)

    @property
    def num_calls(self) -> int:
        """Number of network calls of a chain."""
        return len(self.guided) + len(self.plain)

    def measure(self, device: torch.device, planned: int) -> Costs:
        """Return what the calls cost: measured, or estimated if the job costs less.

        Args:
            device: of the networks.
            planned: network calls of the whole job.
        """
        renderer, counted = self.renderer, self._count()
        dtype = renderer.autocast or renderer.model.dtype
        stopwatch = Stopwatch(device, dtype)
        if planned >= WORTH_TIMING and stopwatch.fits(*counted):
            say("filling the networks with random weights")
            fill(renderer.model.denoiser, device)
            fill(renderer.model.vae, device)
            guided, plain, decoder = self._time(stopwatch, counted, device)
        else:
            guided, plain, decoder = map(stopwatch.estimate, counted)
        return (guided, plain), decoder

    def _count(self) -> list[CallCost]:
        """Return the FLOPs of the three calls, without running them."""
        meta, renderer = torch.device("meta"), self.renderer
        latent, inputs = self._latent(meta), self._inputs(meta)
        calls = [
            partial(renderer.denoiser, timestep=some[0], conditioning=inputs)
            if some
            else None
            for some in (self.guided, self.plain)
        ]
        return [
            *(CallCost() if c is None else count_flops(c, latent) for c in calls),
            count_flops(renderer.model.decode, latent[:1]),
        ]

    def _time(
        self, stopwatch: Stopwatch, counted: Sequence[CallCost], device: torch.device
    ) -> list[CallCost]:
        """Run the three calls in the precision of the job."""
        latent, renderer = self._latent(device), self.renderer
        batch = Batch([], self._inputs(device), {})
        found = list(counted)
        for i, some in enumerate((self.guided, self.plain)):
            if some:
                kind = "without" if i else "with"
                name = f"the denoiser {kind} guidance, a batch of {self.batch},"
                call = partial(renderer.predict, timestep=some[0], batch=batch)
                found[i] = stopwatch.measure(name, call, latent, counted[i])

        def decode(z: Tensor) -> Tensor:
            with renderer.precision():
                return renderer.model.decode(z)

        found[2] = stopwatch.measure("the decoder", decode, latent[:1], counted[2])
        return found

    def _latent(self, device: torch.device) -> Tensor:
        dtype = self.renderer.settings.latents_dtype
        return torch.randn(self.batch, *self.renderer.shape, dtype=dtype, device=device)

    def _inputs(self, device: torch.device) -> Conditioning:
        """Return random inputs of the denoiser for a batch."""

        def made(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {
                name: torch.randn(
                    self.batch, *value.shape[1:], device=device, dtype=value.dtype
                )
                for name, value in named.items()
            }

        positive, negative = self.conditioning.positive, self.conditioning.negative
        return Conditioning(made(positive), negative and made(negative))
