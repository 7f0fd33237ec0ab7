"""The renderer: it makes pictures from latents and scores them, without a Trainer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from doodl import latents as pairs
from doodl import pretrained
from doodl.batch import Batch
from doodl.execution import in_network_precision
from doodl.generation import Generation
from doodl.guides.views import FullFrame, Views
from doodl.images import to_pixels
from doodl.pretrained import CheckpointSource, Pipeline, TextToImage
from doodl.render_settings import RenderSettings
from doodl.sampling.adjoints import default_adjoint
from doodl.sampling.chain import Method
from doodl.sampling.ddim import DDIM
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.sampling.sampler import Sampler
from doodl.scoring import Losses, batch_losses, full_frame_scores, verdicts_of
from doodl.trajectory import Rendering, warn_of_gap


class Renderer:
    """Turns latents into pictures and scores: sample, decode, losses, scores.

    All network calls run under the same autocast type. Latents and the arithmetic of
    the steps have the type `settings.latents_dtype`.

    Args:
        model: the frozen text-to-image model.
        settings: settings of sampling and scoring.
        autocast: 16-bit type in which networks with 32-bit weights compute; None if
            they compute in the type of their weights.

    Attributes:
        shape: (C, h, w) of one latent.
        start: index of the first denoising step of the chain; above 0 for an edit.
        area: height times width of a picture in pixels.
        sampler: the chain from the initial latents to the final ones.

    Raises:
        ValueError: the method or the image size does not fit the model.
    """

    def __init__(
        self,
        model: TextToImage,
        settings: RenderSettings,
        *,
        autocast: torch.dtype | None = None,
    ) -> None:
        settings.refuse_few_steps(model)
        self.model, self.settings, self.autocast = model, settings, autocast
        self.start = settings.first_step
        self.shape = model.latent_shape(settings.height, settings.width)
        self.area = self.shape[1] * self.shape[2] * model.factor**2
        self.denoiser = GuidedDenoiser(
            model.network,
            1.0 if model.embeds_guidance else settings.guidance_scale,
            model.dtype,
            settings.guidance_interval,
            model.combine,
        )
        self.sampler = self._chain(settings.method)
        self._gap_warned = False

    @classmethod
    def load(
        cls,
        name: str | Pipeline,
        settings: RenderSettings,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        autocast: torch.dtype | None = None,
        source: CheckpointSource | None = None,
    ) -> Renderer:
        """Return a renderer with model, guide, judge and verdict loaded.

        The arguments are those of the constructor and of `load_text_to_image`.

        Raises:
            ValueError: the model does not exist, or the settings do not fit it.
        """
        model = pretrained.load_text_to_image(name, device, dtype, source)
        settings.execution.prepare(model)
        renderer = cls(model, settings, autocast=autocast)
        settings.load_watchers(device)
        return renderer

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.model.device

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context in which networks are called."""
        dtype = self.autocast
        return torch.autocast(self.device.type, dtype) if dtype else nullcontext()

    @in_network_precision
    def prepare(self, generations: Sequence[Generation]) -> Batch:
        """Encode the prompts and targets of a batch, and count its calls from 0."""
        self.denoiser.calls = (0, 0)
        with self.settings.execution.reading(self.model):
            conditioning = self.model.conditioning(
                [g.prompt for g in generations],
                [g.negative_prompt for g in generations],
                self.shape,
                self.settings.guidance_scale,
            )
        targets = {
            name: guide.prepare(list(generations))
            for name, guide in self.settings.watchers.items()
        }
        return Batch(list(generations), conditioning, targets)

    def initial(self, batch: Batch) -> Tensor:
        """Return initial latents (k, B, C, h, w): k copies of noise, or an edit's."""
        settings, device = self.settings, self.device
        if settings.edit is not None:
            return settings.edit.initial(self, batch).to(device)
        draw = pairs.draw(batch.seeds, self.shape, settings.latents_dtype).to(device)
        return torch.stack((draw,) * settings.method.num_latents)

    def noised(self, batch: Batch, noise: Tensor) -> Tensor:
        """Return the noise (B, C, h, w), or the pictures to edit plus this noise."""
        noise = noise.to(self.device, self.settings.latents_dtype)
        edit = self.settings.edit
        return edit.noised(self, batch, noise) if edit else noise

    @in_network_precision
    def sample(self, latents: Tensor, batch: Batch) -> Tensor:
        """Return the final latents (k, B, C, h, w) of initial ones; differentiable."""
        return self.sampler.sample(latents, batch.conditioning, start=self.start)

    @in_network_precision
    def invert(self, final: Tensor, batch: Batch) -> Tensor:
        """Return the initial latents from which `sample` makes the given final ones."""
        return self.sampler.invert(final, batch.conditioning, start=self.start)

    @in_network_precision
    def predict(self, z: Tensor, timestep: float, batch: Batch) -> Tensor:
        """Return the guided prediction for single latents (B, C, h, w)."""
        return self.denoiser(z, timestep, batch.conditioning)

    @in_network_precision
    def encode(self, images: Tensor) -> Tensor:
        """Return latents (N, C, h, w) of images (N, 3, H, W) in [-1, 1]."""
        return self.model.encode(images.to(self.device))

    @in_network_precision
    def decode(self, final: Tensor) -> Tensor:
        """Return pixels (k, B, 3, H, W) in [0, 1] of latents (k, B, C, h, w)."""
        flat = final.flatten(0, 1)
        apart = self.settings.execution.apart(final.device, self.area)
        images = [self.model.decode(z) for z in (flat.split(1) if apart else [flat])]
        return to_pixels(torch.cat(images)).unflatten(0, final.shape[:2])

    @in_network_precision
    def losses(
        self, final: Tensor, batch: Batch, update: int, views: Views | None = None
    ) -> Losses:
        """Return the guide's losses of final latents (k, B, C, h, w).

        `views` crops the images (default: full frame); the seed of each generation and
        `update` determine the random crops.
        """
        return batch_losses(
            self.settings.guide,
            views or FullFrame(),
            self.model.decode,
            final,
            batch.targets["guide"],
            batch.crop_streams(len(final), update),
            execution=self.settings.execution,
            area=self.area,
        )

    @torch.no_grad()
    @in_network_precision
    def score(
        self,
        final: Tensor,
        pixels: Tensor,
        batch: Batch,
        *,
        update: int,
        latents: Tensor | None,
    ) -> Rendering:
        """Return the rendering: images of the first latents with their scores.

        Args:
            final: (k, B, C, h, w) denoised latents.
            pixels: (B, 3, H, W) in [0, 1], the images of `final[0]`.
            batch: the batch that the latents belong to.
            update: number of updates that the initial latents have had.
            latents: the initial latents; None if no latents reproduce the images.
        """
        pixels, final = pixels.detach(), final.detach()
        settings, generations = self.settings, batch.generations
        found = full_frame_scores(settings.watchers, batch.targets, pixels)
        gap = pairs.gap(final[[0, -1]]) / final[0].flatten(1).std(dim=1)
        if not self._gap_warned:
            self._gap_warned = warn_of_gap(gap, settings.mixing, settings.num_steps)
        return Rendering(
            update=update,
            latents=None if latents is None else latents.detach().clone(),
            pixels=pixels,
            gap=gap,
            guide=found["guide"],
            judge=found.get("judge"),
            verdicts=verdicts_of(settings.verdict, pixels, generations),
            calls=self.denoiser.calls,
        )

    @torch.no_grad()
    def render(self, latents: Tensor, batch: Batch, *, update: int) -> Rendering:
        """Sample, decode and score initial latents (k, B, C, h, w)."""
        final = self.sample(latents, batch)
        pixels = self.decode(final[:1])[0]
        return self.score(final, pixels, batch, update=update, latents=latents)

    @torch.no_grad()
    @in_network_precision
    def sample_ddim(self, latents: Tensor, batch: Batch) -> Tensor:
        """Return the final latents of single initial ones (1, B, C, h, w), by DDIM."""
        chain = self._chain(DDIM())
        return chain.sample(latents, batch.conditioning, start=self.start)

    def render_ddim(self, latents: Tensor, batch: Batch, *, update: int) -> Rendering:
        """Sample single latents (1, B, C, h, w) by DDIM, decode and score them."""
        latents = latents.to(self.device)
        final = self.sample_ddim(latents, batch)
        pixels = self.decode(final)[0]
        return self.score(final, pixels, batch, update=update, latents=latents)

    def _chain(self, method: Method) -> Sampler:
        sixteen = self.autocast is not None or self.model.dtype.itemsize == 2
        default = default_adjoint(self.settings.method, sixteen)
        adjoint = self.settings.adjoint or default
        schedule, num_steps = self.model.schedule(self.shape), self.settings.num_steps
        return Sampler(schedule, self.denoiser, method, adjoint, num_steps=num_steps)
