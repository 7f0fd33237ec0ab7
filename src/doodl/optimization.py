"""`doodl.optimize`: one call from Python, for a pipeline that is loaded already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from lightning import Callback, Trainer
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from doodl.arguments import check_arguments, plain
from doodl.callbacks import GenerationCallback, Progress
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.guides import Function, Guide
from doodl.jobs.data import PromptsAndSeeds
from doodl.pretrained import Pipeline, borrowed
from doodl.terminal import quiet_lightning
from doodl.trajectory import Rendering, Snapshot, Trajectory


class Scores(NamedTuple):
    """The scores of a picture on the full frame; higher is better.

    Attributes:
        update: number of updates that its latents have had.
        guide: score by the guide.
        judge: score by the judge; None without a judge.
    """

    update: int
    guide: float
    judge: float | None


@dataclass(frozen=True)
class Result:
    """What became of one prompt with one seed.

    Args:
        generation: the prompt, the seed and what belongs to them.
        scores: of the picture before the first update and after every one.
        first: before the first update: `.image`, `.guide`, `.judge`, `.latents`.
        best: the picture that the guide scores highest on the full frame.
        last: the picture after the last update.
        failure: why there is no picture, or not every update; None without a failure.
    """

    generation: Generation
    scores: list[Scores]
    first: Snapshot | None
    best: Snapshot | None
    last: Snapshot | None
    failure: str | None


def optimize(
    pipe: Pipeline | str,
    prompts: str | Sequence[str],
    guide: Guide | Callable[[Tensor], Tensor],
    *,
    seeds: int | Sequence[int] = 0,
    negative_prompt: str = "",
    batch_size: int = 4,
    num_updates: int = 50,
    optimizer: Callable[[Iterable], Optimizer] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **rendering: Any,
) -> list[Result]:
    """Optimise initial latents until the pictures satisfy a loss; return the pictures.

    Every prompt is made with every seed. The default values are the paper's, for a
    model such as Stable Diffusion 1.4 with 50 denoising steps.

    Args:
        pipe: a loaded diffusers text-to-image pipeline, which is left as it was found
            (weights, dtype, device, `requires_grad`, scheduler, offload hooks); or the
            name of a model: hub id, folder, `.safetensors` file, or `shapes`.
        prompts: a text or several.
        guide: a guide of `doodl.guides`; or a function or module from pixels
            (B, 3, H, W) in [0, 1] to losses (B,), lower is better, each of its own
            picture only.
        seeds: a seed or several, in [0, 2^63).
        negative_prompt: for all prompts.
        batch_size: pictures that are optimised at a time.
        num_updates: updates of the latents of each picture.
        optimizer: makes the optimiser from the latents, for example
            `functools.partial(LatentSGD, lr=1.0, clip=1e-3)`, which is the default.
        callbacks: of Lightning or of `doodl.callbacks`: `Multicrop()` shows the guide
            random crops, as the paper does for CLIP; `Results(folder)` writes files and
            goes on with an interrupted job.
        progress: whether a progress bar is shown.
        **rendering: the other arguments of `doodl.RenderSettings`, which describes them
            all: `num_steps` (denoising steps T, 50), `guidance_scale` (classifier-free
            guidance w, 7.5; 1 is none), `guidance_interval` (timesteps that have it,
            all), `mixing` (EDICT's p, 0.93; fewer steps need less), `height` and
            `width` (pixels, the model's own), `judge` (a guide that only scores, none),
            `verdict` (says whether a picture is right, none), `method` (sampler,
            `EDICT(mixing)`), `adjoint` (how the gradient is computed, exactly),
            `latents_dtype` ("float32") and `execution` (compiled, channels last, ...).
            Edits need `PromptsAndSeeds(images=...)` and a Trainer, as in
            `examples/edit_picture.py`.

    Returns:
        a `Result` for each prompt and seed, the seeds of a prompt side by side. What a
        `Results` folder has already is not made again, and not in the list.

    Raises:
        ValueError: a value cannot be used; the sentence says what was expected.
        KeyboardInterrupt: it was interrupted; `Results` has saved what was begun.

    References:
        Wallace et al., End-to-End Diffusion Latent Optimization Improves Classifier
        Guidance, ICCV 2023, arXiv 2303.13703.
    """
    given = {name: value for name, value in locals().items() if name != "rendering"}
    check_arguments(given | rendering, given)
    module = GuidedGeneration(
        pipe,
        guide if isinstance(guide, Guide) else Function(guide),
        optimizer=optimizer,
        num_updates=plain(num_updates),
        **{name: plain(value) for name, value in rendering.items()},
    )
    data = PromptsAndSeeds(
        [prompts] if isinstance(prompts, str) else list(prompts),
        seeds=plain(list(seeds) if isinstance(seeds, Sequence) else [seeds]),
        batch_size=plain(batch_size),
        negative_prompt=negative_prompt,
    )
    kept = _Kept()
    with quiet_lightning(), nullcontext() if isinstance(pipe, str) else borrowed(pipe):
        trainer = Trainer(
            callbacks=[*callbacks, kept, *([Progress()] if progress else [])],
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
            **_placement(pipe),
        )
        _fit(trainer, module, data)
    return [kept.results[g] for g in data.generations if g in kept.results]


def _fit(trainer: Trainer, module: GuidedGeneration, data: PromptsAndSeeds) -> None:
    """Run a trainer, which would exit the whole program when it is interrupted."""
    try:
        trainer.fit(module, datamodule=data)
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


class _Kept(GenerationCallback):
    """Keeps what became of every generation."""

    changes_images = False

    def __init__(self) -> None:
        self.results: dict[Generation, Result] = {}
        self.scores: list[list[tuple[int, float, float | None]]] = []

    @override
    def on_generations_start(self, batch: Sequence[Generation]) -> None:
        self.scores = [[] for _ in batch]

    @override
    def on_rendered(
        self, trajectory: Trajectory, rendering: Rendering, terms: Mapping[str, Tensor]
    ) -> None:
        for index, scores in enumerate(self.scores):
            shot = trajectory.last[index]
            if shot is not None and trajectory.seen(index, rendering):
                scores.append((shot.update, shot.guide, shot.judge))

    @override
    def on_generations_end(self, trajectory: Trajectory) -> None:
        scores = [[Scores(*row) for row in rows] for rows in self.scores]
        shots = (trajectory.first, trajectory.best, trajectory.last)
        columns = (trajectory.generations, scores, *shots, trajectory.failures)
        self.results |= {row[0]: Result(*row) for row in zip(*columns, strict=True)}

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"scores": self.scores}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scores = state_dict["scores"]


def _placement(pipe: Pipeline | str) -> dict[str, Any]:
    """Return the trainer's settings for the device that a pipeline is on."""
    if isinstance(pipe, str):
        return {"devices": 1}
    device: torch.device = getattr(pipe, "_execution_device", pipe.device)
    if device.type == "cpu":
        return {"accelerator": "cpu", "devices": 1}
    return {"accelerator": device.type, "devices": [device.index or 0]}
