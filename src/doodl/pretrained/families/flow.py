"""Flow matching: the common base of Stable Diffusion 3 and FLUX."""

from __future__ import annotations

from typing import Any

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
            scheduler = type(self.pipeline.scheduler).from_config(
                self.pipeline.scheduler.config
            )
            settings = self._sigmas(num_steps)
            if scheduler.config.use_dynamic_shifting:
                settings["mu"] = _shift(scheduler.config, self._tokens(shape))
            scheduler.set_timesteps(num_steps, **settings)
            return scheduler.sigmas.double().tolist()

        return FlowSchedule(sigmas)

    @override
    def few_steps(self, num_steps: int) -> bool:
        return num_steps <= 4

    def _sigmas(self, num_steps: int) -> dict[str, Any]:
        """Return the arguments that the pipeline gives `scheduler.set_timesteps`."""
        return {}

    def _tokens(self, shape: LatentShape) -> int:
        """Return how many tokens of 2 x 2 places the transformer makes of a latent."""
        return (shape[1] // 2) * (shape[2] // 2)


def _shift(config: Any, tokens: int) -> float:
    """Return diffusers' mu: a larger image takes its steps at higher noise levels.

    Args:
        config: configuration of the scheduler.
        tokens: number of tokens of a latent.
    """
    low, high = config.base_image_seq_len, config.max_image_seq_len
    slope = (config.max_shift - config.base_shift) / (high - low)
    return config.base_shift + slope * (tokens - low)
