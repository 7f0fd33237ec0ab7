"""The LightningModule: it holds the latent pair; a training step is one update."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from doodl import latents as pairs
from doodl.baselines.base import Baseline, Original, renderings_of
from doodl.events import Events
from doodl.generation import Generation
from doodl.guides.base import Guide
from doodl.guides.views import FullFrame, Views
from doodl.jobs.preflight import begin
from doodl.optimizer import LatentOptimizer, LatentSGD, check_optimizer
from doodl.precision import placement_of
from doodl.pretrained import CheckpointSource, Pipeline, check_source
from doodl.render_settings import RenderSettings
from doodl.rendering import Batch, Renderer
from doodl.trajectory import Rendering, Selector, Trajectory
from doodl.white_noise import Drift


class GuidedGeneration(LightningModule):
    """Optimises the initial latent pairs of a batch (DOODL, arXiv 2303.13703).

    One epoch is one batch of generations, and one training step is one update: the pair
    is denoised through the whole EDICT chain and decoded, and the guide scores both
    images. The loss is the guide's loss, averaged over a pair's two images and summed
    over the generations. The networks are frozen and are no submodules: the only
    parameter is `latents`, (k, B, C, h, w), with k = 2 for EDICT and 1 for DDIM.

    Args:
        pretrained: hub id, folder or `.safetensors` file of a diffusers model,
            `shapes` for the packaged one, or a loaded pipeline (see `borrowed`).
        guide: computes the loss, from a frozen network or any function of the pixels.
        loading: revision, variant and LoRAs of the model.
        optimizer: makes the optimiser from the parameters, by default `LatentSGD`.
        baseline: sampling method of `predict`, by default without any optimisation.
        num_updates: number of optimiser updates of each generation.
        **rendering: the other arguments of `RenderSettings`, for example `num_steps`.

    Raises:
        ValueError: a value is out of range, or two values exclude each other.
    """

    def __init__(
        self,
        pretrained: str | Pipeline,
        guide: Guide,
        *,
        loading: CheckpointSource | None = None,
        optimizer: Callable[[Iterable], Optimizer] | None = None,
        baseline: Baseline | None = None,
        num_updates: int = 50,
        **rendering: Any,
    ) -> None:
        super().__init__()
        if not 1 <= num_updates <= 10**6:
            raise ValueError(
                f"Expected num_updates of at least 1, at most 10^6, received "
                f"{num_updates}; `doodl predict` samples without optimising."
            )
        self.settings = RenderSettings(guide, **rendering)
        check_source(pretrained, loading)
        self.pretrained, self.loading = pretrained, loading
        self.num_updates, self.baseline = num_updates, baseline or Original()
        self.make_optimizer = optimizer or LatentSGD
        check_optimizer(self.make_optimizer, editing=self.settings.edit is not None)
        count = self.settings.method.num_latents
        self.latents = nn.Parameter(torch.empty(count, 0, 1, 1, 1))
        self._drift, self.trajectory = Drift(), Trajectory([])
        self._renderer: Renderer | None = None
        self._placement: dict[str, Any] = {}

    @property
    def renderer(self) -> Renderer:
        """The renderer, which makes and scores pictures; `setup` loads it."""
        assert self._renderer is not None, "setup has not loaded the networks yet"
        return self._renderer

    def setup(self, stage: str) -> None:
        """Check the job, plan the work of this process and load the networks."""
        trainer, data = self.trainer, self.trainer.datamodule  # type: ignore[attr-defined]
        self.work = begin(self, trainer, data)
        self.events = Events(trainer.callbacks)  # type: ignore[attr-defined]
        self._views: Views = self.events.views() if stage == "fit" else FullFrame()
        trainer.fit_loop.max_epochs = trainer.current_epoch + int(self.work.left)
        if self.work.left:
            self._load()
            self.settings.check(data.generations.one_per_row())  # networks add limits

    def _load(self) -> None:
        """Load the networks, unless this device and precision are loaded already."""
        placement = placement_of(self.trainer)
        if self._renderer is None or self._placement != placement:
            self._renderer = None  # free the memory of the networks held so far
            self._renderer = Renderer.load(
                self.pretrained, self.settings, source=self.loading, **placement
            )
            self._placement = placement

    def updates(self) -> range:
        """Return the numbers of the updates that the current batch still lacks."""
        return range(self._update, self.num_updates)

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser of the latent pair."""
        return self.make_optimizer(self.parameters())

    def _begin(self, generations: Sequence[Generation], selector: Selector) -> None:
        """Begin a batch of generations."""
        self._update, self.latents.grad = 0, None
        self._pending: tuple[Rendering, dict[str, Tensor]] | None = None
        self.trajectory = Trajectory(generations, selector)
        self.events.start(generations)

    def _prepare(self) -> None:
        """Encode the batch's prompts and targets, and draw its initial latents."""
        self.batch: Batch = self.renderer.prepare(self.trajectory.generations)
        self.latents.data = self.renderer.initial(self.batch)

    def on_train_epoch_start(self) -> None:
        """Begin the next batch; resume it if a callback has saved its state."""
        self._begin(self.work.current or [], "guide")
        with self._memory():
            self._prepare()
            self._drift.start(self.latents.detach())
            self._optimizer().start(self.batch.seeds)
            if state := self.events.saved_state(self.batch.generations):
                self.restore(state)

    def state(self) -> dict[str, Any]:
        """Return the state from which `restore` resumes after the last update."""
        return {
            "update": self._update,
            "latents": self.latents.detach().clone(),
            "optimizer": self._optimizer().saved(),
            "trajectory": self.trajectory.state_dict(),
            "callbacks": self.events.states(),
            "calls": self.renderer.denoiser.calls,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Resume the same batch, bit for bit, from a value of `state`."""
        self._update = state["update"]
        self.latents.data = state["latents"].to(self.device)
        self._optimizer().resume(state["optimizer"])
        self.trajectory.load_state_dict(state["trajectory"])
        self.events.restore(state["callbacks"])
        self.renderer.denoiser.calls = state["calls"]

    def on_train_batch_start(self, batch: int, batch_idx: int) -> int | None:
        """Return -1, which ends the epoch, once every generation has ended."""
        return None if self.trajectory.active().any() else -1

    def training_step(self, batch: int, batch_idx: int) -> Tensor | None:
        """Return the batch's summed loss at update `batch`; None if out of memory."""
        with self._memory():
            final = self.renderer.sample(self.latents, self.batch)
            losses = self.renderer.losses(final, self.batch, batch, self._views)
            pixels, b, z = losses.pixels[0], self.batch, self.latents
            found = self.renderer.score(final, pixels, b, update=batch, latents=z)
            rendering = self.trajectory.record(self.events.filter(found))
            self.events.stop(self.trajectory, rendering)
            self._pending = rendering, losses.terms | {"pair_gap": rendering.gap}
            return losses.total.sum()
        return None  # type: ignore[unreachable] # memory ran out

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradient; if memory runs out, mark the generations as failed."""
        with self._memory():
            super().backward(loss, *args, **kwargs)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Measure the pair, and exclude ended generations from the update."""
        if self.latents.grad is not None:
            total = self.latents.grad.sum(dim=(0, 2, 3, 4))
            self.trajectory.fail_non_finite(total, "the gradient")
        optimizer.active = self.trajectory.active().to(self.device)
        if self._pending is not None:
            z, (_, terms) = self.latents.detach(), self._pending
            terms |= pairs.properties(z) | self._drift(z)

    def on_train_batch_end(self, outputs: Any, batch: int, batch_idx: int) -> None:
        """Report the update to the callbacks; after the last, render the result."""
        self._announce()
        self._update = batch + 1
        active = self.trajectory.active().any()
        if active and self._update < self.num_updates:
            self.events.state(self.state())
        elif active:
            with self._memory():
                end = self.renderer.render(self.latents, self.batch, update=batch + 1)
                self._pending = self.trajectory.record(self.events.filter(end)), {}
            self._announce()

    def on_train_epoch_end(self) -> None:
        """End a completed batch and plan the next one; `max_time` may interrupt it."""
        if self._update < self.num_updates and self.trajectory.active().any():
            return
        self.events.end(self.trajectory)
        self.work.advance()
        self.trainer.fit_loop.max_epochs = self.current_epoch + 1 + self.work.left

    def predict_step(self, batch: list[Generation], batch_idx: int) -> Trajectory:
        """Sample a batch of generations with the baseline, without optimising."""
        self._begin(batch, self.baseline.selector)
        with self._memory():
            self._prepare()
            given = self.renderer, self.batch, self.latents.detach(), self.num_updates
            for found in renderings_of(self.baseline, *given):
                self.trajectory.record(self.events.filter(found))
        self.events.end(self.trajectory)
        return self.trajectory

    def _announce(self) -> None:
        """Report the last rendering to the callbacks, once."""
        if self._pending is not None:
            self.events.rendered(self.trajectory, *self._pending)
            self._pending = None

    def _optimizer(self) -> LatentOptimizer:
        return self.optimizers(use_pl_optimizer=False)  # type: ignore[return-value]

    def _memory(self) -> AbstractContextManager[None]:
        return self.trajectory.surviving_out_of_memory(self.settings.lighter_adjoint())
