"""One-step classifier guidance: every step follows the loss of a predicted image."""

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
    """DDIM that adds the gradient of the guide's loss to the noise prediction e.

    At every step from t to s, with e predicted under classifier-free guidance,

        x0 = (z - sigma_t e) / alpha_t,   z~ = sigma_t x0 + (1 - sigma_t) z,
        e <- e + strength sigma_t grad_z loss(decode(z~)),

    where the gradient is taken through the denoiser call of this step only.

    Args:
        strength: weight of the gradient; the best value depends on the task.

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
        # The first latent of the pair; when editing, it comes from the inversion.
        z = latents[0]
        yield renderer.render_ddim(z[None], batch, update=0)
        for index, step in enumerate(renderer.sampler.steps[renderer.start :]):
            z = self.step(renderer, batch, z, step, index)
        with torch.no_grad():
            pixels = renderer.decode(z[None])[0]
        # No initial latents reproduce this picture, since guidance changed each step.
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
    """Return the noise e and the clean latent x0 of a raw prediction.

    Args:
        step: the denoising step.
        z: (B, C, h, w) latents at the step's timestep t.
        raw: (B, C, h, w) prediction of the network.
        kind: `epsilon`, `v_prediction` or `flow_prediction`.
    """
    if kind == "flow_prediction":
        return z + step.alpha_t * raw, z - step.sigma_t * raw
    if kind == "v_prediction":
        noise = step.alpha_t * raw + step.sigma_t * z
        return noise, step.alpha_t * z - step.sigma_t * raw
    return raw, (z - step.sigma_t * raw) / step.alpha_t
