"""The LightningModule: latent pair, whole sampling chain, decoder, loss."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from lightning import Callback, LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from doodl import guards, pretrained
from doodl import latents as pairs
from doodl.editing import Edit
from doodl.execution import Execution
from doodl.generation import Generation
from doodl.guides.base import Guide
from doodl.guides.views import FullFrame, Verdict, Views
from doodl.images import to_pixels
from doodl.jobs.archive import Archive
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.dealing import count_alone, deal
from doodl.optimizer import LatentSGD
from doodl.parts import Baseline, Parts
from doodl.precision import refuse_trainer_settings, sixteen_bits, weights_of
from doodl.pretrained import CheckpointSource, TextToImage, check_source
from doodl.sampling.adjoints import Adjoint
from doodl.sampling.chain import Method
from doodl.sampling.ddim import DDIM
from doodl.sampling.denoiser import Conditioning, GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.sampler import Sampler
from doodl.scoring import crop_losses, scores
from doodl.trajectory import Rendering, Trajectory


@torch.no_grad()
def original(module: GuidedGeneration) -> None:
    """Record what the chain makes of the initial draw, without optimising it."""
    module.render(0)


class GuidedGeneration(LightningModule):
    """Optimises the initial latent pairs of a batch of generations (DOODL).

    One epoch is one batch of generations, one training step one update: the pair is
    denoised through the whole EDICT chain, decoded, and scored by the guide; the loss
    is the sum over generations of the mean over the two images of the guide's loss.

    The only parameter is `latents`, (2, B, C, h, w). Networks are frozen and held, but
    not registered.

    Args:
        pretrained: diffusers model: a hub id, a local folder, a `.safetensors` file,
            or `shapes`.
        loading: how the model is found besides: revision, variant, LoRAs.
        guide: the loss, a frozen network's or any function of the pixels.
        judge: a guide that only watches, for evaluation.
        verdict: says whether an image shows what was asked for, as `AttributeJudge`
            does in the shapes world; it is only reported.
        optimizer: makes the optimiser from the parameters, by default `LatentSGD`.
        method: what makes a step, by default `EDICT(mixing)`; `DDIM` for models that
            were distilled to a few steps.
        adjoint: how the gradient is taken through the chain, by default the reversible
            one where the method can be reversed and networks compute in 32 bits or
            more, else the one that keeps the chain's states.
        baseline: what `predict` does; by default it samples without optimising.
        edit: begins with pictures instead of noise.
        num_steps: denoising steps T.
        num_updates: optimiser updates of each generation.
        guidance_scale: classifier-free guidance w; 1 for none.
        guidance_interval: first and last timestep with guidance, of 0 to 999; by
            default all have it. Others cost half.
        mixing: EDICT's p of the default method; it has to follow the number of steps.
        height: of the image in pixels, by default the model's own.
        width: likewise.
        latents_dtype: of the pair and of the steps' arithmetic, whatever the precision
            of the networks.
        execution: how the networks are run: compiled, channels last, one picture at
            a time, text encoders offloaded.

    References:
        Wallace et al., End-to-End Diffusion Latent Optimization Improves Classifier
        Guidance, ICCV 2023, arXiv 2303.13703.
    """

    def __init__(
        self,
        pretrained: str,
        guide: Guide,
        *,
        loading: CheckpointSource | None = None,
        judge: Guide | None = None,
        verdict: Verdict | None = None,
        optimizer: Callable[[Iterable], Optimizer] | None = None,
        method: Method | None = None,
        adjoint: Adjoint | None = None,
        baseline: Baseline | None = None,
        edit: Edit | None = None,
        num_steps: int = 50,
        num_updates: int = 50,
        guidance_scale: float = 7.5,
        guidance_interval: tuple[int, int] | None = None,
        mixing: float = 0.93,
        height: int | None = None,
        width: int | None = None,
        latents_dtype: Literal["float32", "float64"] = "float32",
        execution: Execution | None = None,
    ) -> None:
        super().__init__()
        if num_updates < 1:
            raise ValueError(
                f"Expected num_updates of at least 1, received {num_updates}; use "
                "`doodl predict` to sample without optimising."
            )
        if not 1 <= num_steps <= 1000:
            raise ValueError(
                f"Expected num_steps between 1 and 1000, received {num_steps}."
            )
        method = method or EDICT(mixing)
        self.parts = Parts(
            guide=guide,
            judge=judge,
            verdict=verdict,
            baseline=baseline or original,
            edit=edit,
            method=method,
            adjoint=adjoint,
        )
        check_source(pretrained, loading)
        self.pretrained, self.num_updates = pretrained, num_updates
        self.loading = loading
        self.latents_dtype = getattr(torch, latents_dtype)
        self.height, self.width = height, width
        self.num_steps = num_steps
        self.mixing = getattr(method, "mixing", mixing)
        self.make_optimizer = optimizer or LatentSGD
        trial = self.make_optimizer([torch.zeros(2, 0, 1, 1, 1)])  # may refuse early
        if not isinstance(trial, LatentSGD):
            raise ValueError(
                f"Expected the optimizer LatentSGD or a subclass of it, received "
                f"{type(trial).__name__}, which knows no generations."
            )
        if edit is not None and trial.defaults.get("average_pair"):
            raise ValueError(
                "Expected average_pair false with an edit, received true: the pair "
                "that makes a given picture is two different latents, and their mean "
                "makes another one; set model.optimizer.init_args.average_pair false."
            )
        self.start = 0 if edit is None else edit.start(num_steps)
        self.guidance_scale = guidance_scale
        self.guidance_interval = guidance_interval
        self.execution = execution or Execution()
        GuidedDenoiser(lambda z: z, guidance_scale, None, guidance_interval)  # may too
        self.views: Views = FullFrame()
        self.latents = nn.Parameter(torch.empty(method.num_latents, 0, 1, 1, 1))
        self.trajectory = Trajectory([])
        self.rendering: Rendering | None = None
        self.archive: Archive | None = None
        self.batches: list[list[Generation]] = []
        self.first_update = 0
        self.saved: dict[str, Any] = {}
        self.diagnostics: dict[str, Tensor] = {}
        self.warned = False

    def settings(self) -> dict[str, Any]:
        """Return what changes an image, as far as the module knows it by value."""
        optimizer = self.make_optimizer([torch.zeros(2, 0, 1, 1, 1)])
        return {
            "pretrained": self.pretrained,
            "loading": self.loading and vars(self.loading),
            "latents_dtype": str(self.latents_dtype),
            "num_steps": self.num_steps,
            "num_updates": self.num_updates,
            "guidance_scale": self.guidance_scale,
            "guidance_interval": self.guidance_interval,
            "mixing": self.mixing,
            "height": self.height,
            "width": self.width,
            "optimizer": optimizer.defaults,
            **self.parts.kinds(),
        }

    # The work of this process -----------------------------------------------------

    @property
    def guide(self) -> Guide:
        """The guide, whose loss is minimised."""
        return self.parts.guide

    @property
    def model(self) -> TextToImage:
        """The frozen text-to-image model, loaded by `setup`."""
        return self.parts.model

    @property
    def sampler(self) -> Sampler:
        """The chain from the latent pair to the final pair."""
        return self.parts.sampler

    def setup(self, stage: str) -> None:
        """Plan the work of this process and load the networks onto its device."""
        refuse_trainer_settings(self.trainer)
        self.warned = False
        data: PromptsAndSeeds = self.trainer.datamodule  # type: ignore[attr-defined]
        self._plan(data)
        if stage == "fit":
            self.trainer.fit_loop.max_epochs = len(self.batches)
        if self.batches and not self.parts.loaded:
            device, dtype = self.trainer.strategy.root_device, weights_of(self.trainer)
            model = pretrained.load_text_to_image(
                self.pretrained, device, dtype, self.loading
            )
            self.execution.prepare(model)
            self.adopt(model, sixteen_bits=sixteen_bits(self.trainer))
            self.parts.load(device)
            self.parts.check(data.generations)  # what only networks know

    def _plan(self, data: PromptsAndSeeds) -> None:
        """Refuse what cannot be made and take the first batch of this process."""
        self.parts.check(data.generations)
        count = getattr(self.trainer.strategy, "count", count_alone)()
        remaining = self.archive.remaining if self.archive else list
        self.batches, self._dealt = [], deal(data.batches(), count, remaining)
        self.take()

    def take(self) -> None:
        """Add the next batch, if there is one, to those of this process."""
        self.batches += itertools.islice(self._dealt, 1)

    def adopt(self, model: TextToImage, *, sixteen_bits: bool = False) -> None:
        """Build the chain of a model.

        Args:
            model: not necessarily with its weights.
            sixteen_bits: whether its networks compute in no more.

        Raises:
            ValueError: the method does not work with it, or the image's size.
        """
        method = self.parts.method
        if method.num_latents > 1 and model.few_steps(self.num_steps):
            raise ValueError(
                f"Expected the method DDIM for '{self.pretrained}', a model that jumps "
                f"in few steps, received {type(method).__name__} with num_steps "
                f"{self.num_steps}: its second call would see a nearly clean latent at "
                "a noisy timestep; set model.method doodl.sampling.ddim.DDIM."
            )
        self.shape = model.latent_shape(self.height, self.width)
        denoiser = GuidedDenoiser(
            model.network,
            1.0 if model.embeds_guidance else self.guidance_scale,
            model.dtype,
            self.guidance_interval,
        )
        self.parts.settle(sixteen_bits=sixteen_bits)
        self.parts.model, self.parts.sampler = model, self._chain(model, denoiser)

    def _chain(
        self, model: TextToImage, denoiser: GuidedDenoiser, method: Method | None = None
    ) -> Sampler:
        """Return the model's chain, of the module's own method by default."""
        return Sampler(
            model.schedule(self.shape),
            denoiser,
            method=method or self.parts.method,
            adjoint=self.parts.adjoint,
            num_steps=self.num_steps,
        )

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser of the latent pair."""
        return self.make_optimizer(self.parameters())

    # One batch of generations -----------------------------------------------------

    def begin(self, generations: Sequence[Generation]) -> None:
        """Draw the pairs of a batch and compute what it is conditioned on."""
        self.first_update, self.saved = 0, {}
        self.trajectory = Trajectory(generations)
        self.rendering, self.diagnostics = None, {}
        self.conditioning = self._conditioning(generations)
        self.latents.data = self._initial(generations).to(self.device)
        self.latents.grad = None
        self.targets = {
            name: guide.prepare(generations)
            for name, guide in self.parts.watchers.items()
        }

    def _initial(self, generations: Sequence[Generation]) -> Tensor:
        """Return the pairs to begin with (2, B, C, h, w)."""
        if self.parts.edit is not None:
            return self.parts.edit.invert(self, generations)
        # The two latents start as copies of one draw.
        seeds = [g.seed for g in generations]
        initial = pairs.draw(seeds, self.shape, self.latents_dtype)
        return torch.stack((initial,) * self.parts.method.num_latents)

    def on_train_epoch_start(self) -> None:
        """Begin the next batch and clear the optimiser's state."""
        generations = self.batches[self.current_epoch]
        self.begin(generations)
        self._optimizer().start([g.seed for g in generations])
        state = self.archive and self.archive.load_state(generations)
        if state:
            self.restore(state)

    def state(self) -> dict[str, Any]:
        """Return all that the batch needs to go on after the last update."""
        # Lightning's own, as its timer, count for the process and not for the batch.
        own = [c for c in self._callbacks() if not _is_lightnings(c)]
        states = {c.state_key: c.state_dict() for c in own}
        # Copies: the optimiser goes on writing into its own.
        momenta = self._optimizer().state_dict()["state"]
        return {
            "update": self.first_update,
            "latents": self.latents.detach().clone(),
            "optimizer": {key: dict(values) for key, values in momenta.items()},
            "trajectory": self.trajectory.state_dict(),
            "callbacks": {key: state for key, state in states.items() if state},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on, bit for bit, from what `state` returned for the same batch."""
        self.first_update, self.saved = state["update"], state
        self.latents.data = state["latents"].to(self.device)
        optimizer = self._optimizer()
        optimizer.load_state_dict(
            {**optimizer.state_dict(), "state": state["optimizer"]}
        )
        self.trajectory.load_state_dict(state["trajectory"])
        for callback in self._callbacks():
            if callback.state_key in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.state_key])

    def on_train_batch_start(self, batch: int, batch_idx: int) -> int | None:
        """End the epoch once every generation of the batch has ended."""
        return None if self.trajectory.active().any() else -1

    def training_step(self, batch: int, batch_idx: int) -> Tensor | None:
        """Return the summed loss of the batch at one update, None without memory."""
        loss: Tensor | None = None
        with self._memory():
            loss = self._objective(batch)
        return loss  # noqa: RET504 - None when memory ran out

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take the gradient, as far as there is memory."""
        with self._memory():
            super().backward(loss, *args, **kwargs)

    def _objective(self, batch: int) -> Tensor:
        """Return the summed loss of the pair's images.

        They are also looked at whole, by guide and judge, which costs no call of the
        denoiser.
        """
        final = self._sample()
        losses, pixels = self.losses(final, batch)
        self.look(batch, final, pixels[0])
        return losses.sum()

    def losses(self, final: Tensor, update: int) -> tuple[Tensor, Tensor]:
        """Return each generation's loss (B,), the mean over its images, and these.

        Args:
            final: (k, B, C, h, w) denoised latents.
            update: seeds the crops, together with the generation.

        Returns:
            losses (B,); pixels (k, B, 3, H, W) in [0, 1].
        """
        shape = final.shape[:2]
        generators = [
            pairs.stream(g.seed, f"crops {k}", update)
            for k in range(shape[0])
            for g in self.trajectory.generations
        ]
        targets = {
            name: target.repeat(shape[0], *[1] * (target.dim() - 1))
            for name, target in self.targets["guide"].items()
        }

        def look(latents: Tensor, index: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
            pixels = to_pixels(self.model.decode(latents))
            named = dict(zip(targets, values, strict=True))
            streams = [generators[i] for i in index.tolist()]
            terms = crop_losses(self.guide, self.views, pixels, named, streams)
            names[:] = terms
            rows = torch.stack([term.detach() for term in terms.values()], dim=1)
            return terms["loss"], rows, pixels.detach()

        names: list[str] = []

        losses, rows, pixels = self.execution.losses(
            look,
            final.flatten(0, 1),
            torch.arange(len(generators)),
            *targets.values(),
            pixels=self._size(final),
        )
        means = rows.unflatten(0, shape).mean(dim=0).unbind(dim=1)
        self.diagnostics |= {
            name if name == "loss" else f"loss_{name}": mean
            for name, mean in zip(names, means, strict=True)
        }
        return losses.unflatten(0, shape).mean(dim=0), pixels.unflatten(0, shape)

    @torch.no_grad()
    def look(
        self,
        update: int,
        final: Tensor,
        pixels: Tensor,
        initial: Tensor | None = None,
    ) -> None:
        """Score the full images of the first latents and record them.

        Args:
            update: how many updates the latents have had.
            final: (2, B, C, h, w) the denoised pair, or (1, ...) a single latent.
            pixels: (B, 3, H, W) in [0, 1], its first latent's images.
            initial: the noise that was denoised, by default the module's pair.
        """
        pixels, final = pixels.detach(), final.detach()
        found = scores(self.parts.watchers, self.targets, pixels)
        verdict = self.parts.verdict
        spread = final[0].flatten(1).std(dim=1)
        self.rendering = rendering = Rendering(
            update=update,
            latents=(self.latents if initial is None else initial).detach().clone(),
            pixels=pixels,
            gap=pairs.gap(final[[0, -1]]) / spread,
            guide=found["guide"],
            judge=found.get("judge"),
            verdicts=(
                verdict.verdicts(pixels, self.trajectory.generations) if verdict else []
            ),
        )
        guards.refuse_non_finite(self.trajectory, rendering.guide, "the image's score")
        if not self.warned:
            gap = rendering.gap
            self.warned = guards.warn_of_gap(gap, self.mixing, self.num_steps)
        self.trajectory.record(rendering)

    def on_before_optimizer_step(  # type: ignore[override]
        self, optimizer: LatentSGD
    ) -> None:
        """Measure the pair and leave ended generations out of the update."""
        pair = self.latents.detach()
        gradient = self.latents.grad
        if gradient is not None:
            total = gradient.sum(dim=(0, 2, 3, 4))
            guards.refuse_non_finite(self.trajectory, total, "the gradient")
        optimizer.active = self.trajectory.active().to(self.device)
        if self.rendering is not None:
            self.diagnostics |= {
                "latent_norm": pairs.norms(pair).mean(dim=0),
                "autocorrelation": pairs.autocorrelation(pair).mean(dim=0),
                "kurtosis": pairs.kurtosis(pair).mean(dim=0),
                "pair_gap": self.rendering.gap,
            }

    def on_train_batch_end(self, outputs: object, batch: int, batch_idx: int) -> None:
        """Render the result of the last update, or note how to go on after this."""
        if not self.trajectory.active().any():
            return
        if batch == self.num_updates - 1:
            with torch.no_grad(), self._memory():
                self.render(self.num_updates)
        else:
            self.first_update = batch + 1
            self.saved = self.state()

    def render(self, update: int) -> None:
        """Sample, decode, score and record without a gradient."""
        final = self._sample()
        self.look(update, final, self.decode(final[:1])[0])

    def on_train_epoch_end(self) -> None:
        """Plan an epoch for the next batch, if there is one."""
        self.saved = {}
        self.take()
        self.trainer.fit_loop.max_epochs = len(self.batches)

    def stop(self, index: int, reason: str) -> None:
        """End the optimisation of one generation of the batch."""
        self.trajectory.reasons[index] = reason

    # Sampling only ----------------------------------------------------------------

    def predict_step(self, batch: list[Generation], batch_idx: int) -> Trajectory:
        """Sample a batch of generations without optimising it."""
        self.begin(batch)
        with self._memory():
            self.parts.baseline(self)
        return self.trajectory

    @torch.no_grad()
    def record_ddim(self, latents: Tensor, update: int) -> None:
        """Record diffusers' own DDIM images of single latents (1, B, C, h, w)."""
        chain = self._chain(self.model, self.sampler.denoiser, DDIM())
        latents = latents.to(self.device)
        final = chain.sample(latents, self.conditioning, start=self.start)
        self.look(update, final, self.decode(final)[0], latents)

    # Private ----------------------------------------------------------------------

    def _sample(self) -> Tensor:
        return self.sampler.sample(self.latents, self.conditioning, start=self.start)

    def _callbacks(self) -> list[Callback]:
        return self.trainer.callbacks  # type: ignore[attr-defined]

    def _conditioning(self, generations: Sequence[Generation]) -> Conditioning:
        with self.execution.reading(self.model):
            return self.model.conditioning(
                [g.prompt for g in generations],
                [g.negative_prompt for g in generations],
                self.shape,
                self.guidance_scale,
            )

    def decode(self, final: Tensor) -> Tensor:
        """Return pixels (k, B, 3, H, W) in [0, 1] of latents (k, B, C, h, w)."""
        flat = final.flatten(0, 1)
        apart = self.execution.apart(final.device, self._size(final))
        images = [self.model.decode(z) for z in (flat.split(1) if apart else [flat])]
        return to_pixels(torch.cat(images)).unflatten(0, final.shape[:2])

    def _size(self, final: Tensor) -> int:
        """Return the pixels of one picture."""
        return final[0, 0, 0].numel() * self.model.factor**2

    def _optimizer(self) -> LatentSGD:
        return self.optimizers(use_pl_optimizer=False)  # type: ignore[return-value]

    def _memory(self) -> AbstractContextManager[None]:
        return guards.out_of_memory(self.trajectory, reverses=self.parts.reverses)


def _is_lightnings(callback: Callback) -> bool:
    return type(callback).__module__.partition(".")[0] == "lightning"
