"""One-step classifier guidance: steer every step by a guess of the final image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from doodl.sampling.schedule import Step, epsilon_coefficients

if TYPE_CHECKING:
    from doodl.guided_generation import GuidedGeneration


class OneStep:
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

    def __init__(self, strength: float = 20.0) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"Expected a strength of 0 or more, received {strength}.")
        self.strength = strength

    def __call__(self, module: GuidedGeneration) -> None:
        """Record the original and the guided image of the module's batch."""
        # An edit begins with the picture as far as it is undone, others with noise.
        z = original = module.latents.detach()[0]
        module.trajectory.selector = "last"
        module.record_ddim(original[None], update=0)
        for index, step in enumerate(module.sampler.steps[module.start :]):
            z = self.step(module, z, step, index)
        with torch.no_grad():
            module.look(1, z[None], module.decode(z[None])[0])

    def step(
        self, module: GuidedGeneration, z: Tensor, step: Step, index: int
    ) -> Tensor:
        """Return the latents (B, C, h, w) after one guided step."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            raw = module.sampler.denoiser(z, step.t, module.conditioning)
            noise, clean = split(step, z, raw, module.sampler.prediction_type)
            blend = step.sigma_t * clean + (1 - step.sigma_t) * z
            losses, _ = module.losses(blend[None], index)
            (gradient,) = torch.autograd.grad(losses.sum(), z)
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
