"""Flow matching: the common base of Stable Diffusion 3, FLUX and later models."""

from __future__ import annotations

from typing import Any

import torch
from typing_extensions import override

from doodl.pretrained.text_to_image import LatentShape, TextToImage
from doodl.sampling.schedule import FlowSchedule


class Flow(TextToImage):
    """A transformer that predicts the velocity  u = noise - z_0.

    References:
        Lipman et al., Flow Matching for Generative Modeling, ICLR 2023, arXiv
        2210.02747.
    """

    @property
    @override
    def denoiser(self) -> Any:
        return self.pipeline.transformer

    @override
    def schedule(self, shape: LatentShape) -> FlowSchedule:
        def sigmas(num_steps: int) -> list[float]:
            scheduler, own = _euler(self.pipeline.scheduler)
            settings = {} if own else self._sigmas(num_steps)
            if scheduler.config.get("use_dynamic_shifting"):
                settings["mu"] = self._mu(shape, num_steps)
            scheduler.set_timesteps(num_steps, **settings)
            if not scheduler.sigmas.isfinite().all():  # as a terminal shift of one step
                raise ValueError(
                    "Expected more num_steps for this model's scheduler, received "
                    f"{num_steps}, for which its noise levels are not finite."
                )
            return scheduler.sigmas.double().tolist()

        return FlowSchedule(sigmas)

    @override
    def few_steps(self, num_steps: int) -> bool:
        return num_steps <= 4

    def _sigmas(self, num_steps: int) -> dict[str, Any]:
        """Return the arguments that the pipeline gives `scheduler.set_timesteps`."""
        return {}

    def _mu(self, shape: LatentShape, num_steps: int) -> float:
        """Return diffusers' mu: larger images take their steps at higher noise levels.

        It is linear in the number of tokens, 2 x 2 places of a latent each.
        """
        config, tokens = self.pipeline.scheduler.config, shape[1] // 2 * (shape[2] // 2)
        low = config.get("base_image_seq_len", 256)
        high = config.get("max_image_seq_len", 4096)
        base, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        slope = (most - base) / (high - low)
        return base + slope * (tokens - low)


class EvenFlow(Flow):
    """A flow whose chain begins with T evenly spaced noise levels, from 1 to 1 / T."""

    @override
    def _sigmas(self, num_steps: int) -> dict[str, Any]:
        return {"sigmas": torch.linspace(1.0, 1 / num_steps, num_steps).tolist()}


def _euler(scheduler: Any) -> tuple[Any, bool]:
    """Return a new scheduler with a configuration's noise levels for Euler's method.

    Also whether its class has noise levels of its own, as DPM solvers of a flow have.
    """
    if scheduler.config.get("use_flow_sigmas"):
        return type(scheduler).from_config(scheduler.config), True
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler.from_config(scheduler.config), False
