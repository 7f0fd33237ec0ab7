"""One-step classifier guidance: steer every step by a guess of the final image."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from typing_extensions import override

from doodl.baselines.base import Baseline
from doodl.batch import Batch
from doodl.rendering import Renderer
from doodl.sampling.schedule import Step, epsilon_coefficients
from doodl.trajectory import Rendering, Selector


class OneStep(Baseline):
    """DDIM whose noise prediction is moved by the gradient of the guide's loss.

    At every step, with the sampler's own guided prediction of noise,

        x0 = (z - sigma e) / alpha,   z~ = sigma x0 + (1 - sigma) z,
        e <- e + strength sigma grad_z loss(decode(z~)),

    where the gradient goes through the network of this one step.

    Args:
        strength: of the guide; the best one differs from task to task.

    References:
        Dhariwal and Nichol, arXiv 2105.05233; the form that DOODL compares with,
        arXiv 2303.13703, section 3.2.1.
    """

    selector: Selector = "last"

    def __init__(self, strength: float = 20.0) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"Expected a strength of 0 or more, received {strength}.")
        self.strength = strength

    @override
    def __call__(
        self, renderer: Renderer, batch: Batch, latents: Tensor, num_updates: int
    ) -> Iterator[Rendering]:
        """Yield the original and the guided image of the batch."""
        # The first latent of the pair; when editing, the picture's, partly inverted.
        z = latents[0]
        yield renderer.render_ddim(z[None], batch, update=0)
        for index, step in enumerate(renderer.sampler.steps[renderer.start :]):
            z = self.step(renderer, batch, z, step, index)
        with torch.no_grad():
            pixels = renderer.decode(z[None])[0]
        # No initial latents make the guided picture: every step was steered.
        yield renderer.score(z[None], pixels, batch, update=1, latents=None)

    def step(
        self, renderer: Renderer, batch: Batch, z: Tensor, step: Step, index: int
    ) -> Tensor:
        """Return the latents (B, C, h, w) after one guided step."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            raw = renderer.predict(z, step.t, batch)
            noise, clean = split(step, z, raw, renderer.sampler.prediction_type)
            blend = step.sigma_t * clean + (1 - step.sigma_t) * z
            losses = renderer.losses(blend[None], batch, index)
            (gradient,) = torch.autograd.grad(losses.total.sum(), z)
        noise = noise.detach() + self.strength * step.sigma_t * gradient
        if step.alpha_t == 0:
            return step.alpha_s * clean.detach() + step.sigma_s * noise
        a, b = epsilon_coefficients(
            step.alpha_t, step.sigma_t, step.alpha_s, step.sigma_s
        )
        return a * z.detach() + b * noise


def split(step: Step, z: Tensor, raw: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """Return the noise and the clean latent that a raw prediction stands for."""
    if kind == "flow_prediction":
        return z + step.alpha_t * raw, z - step.sigma_t * raw
    if kind == "v_prediction":
        noise = step.alpha_t * raw + step.sigma_t * z
        return noise, step.alpha_t * z - step.sigma_t * raw
    return raw, (z - step.sigma_t * raw) / step.alpha_t
