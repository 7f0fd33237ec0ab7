"""The noise schedule: the coefficients of a denoising step from t to s < t.

A noisy latent is  z_t = alpha_t z_0 + sigma_t noise.  Here alpha_t is the square root
of diffusers' `alphas_cumprod[t]`, and sigma_t = sqrt(1 - alpha_t^2); in a flow alpha_t
is 1 - sigma_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

from doodl.sampling.betas import read_betas, zero_terminal
from doodl.sampling.timesteps import SPACINGS


@dataclass(frozen=True)
class Step:
    """One denoising step  z_s = a z_t + b f(z', t)  with the network's output f.

    z' is the latent that the network takes: z_t for DDIM, the other one for EDICT.

    Args:
        t: timestep of the prediction.
        a: factor of the latent.
        b: factor of the prediction.
        alpha_t: signal level at t.
        sigma_t: noise level at t.
        alpha_s: signal level at s.
        sigma_s: noise level at s.
    """

    t: float
    a: float
    b: float
    alpha_t: float
    sigma_t: float
    alpha_s: float
    sigma_s: float


class Schedule:
    """Maps a number of steps to the steps of a DDIM chain.

    Args:
        alphas_cumprod: (N,) float64, alpha^2 at each of N training timesteps.
        prediction_type: `epsilon` or `v_prediction`.
        timestep_spacing: `leading`, `trailing` or `linspace`, as in diffusers, or
            `consistency` for the timesteps of a latent consistency model.
        steps_offset: number added to leading timesteps.
        set_alpha_to_one: whether the last step ends at alpha 1; if not, it ends at the
            alpha of timestep 0.
        distilled_steps: number of timesteps that a latent consistency model was
            distilled for.

    Raises:
        ValueError: the prediction type or the spacing is unknown, or `epsilon` is
            combined with an alpha of 0 at the noisiest timestep.
    """

    def __init__(
        self,
        alphas_cumprod: Tensor,
        *,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "leading",
        steps_offset: int = 0,
        set_alpha_to_one: bool = True,
        distilled_steps: int = 50,
    ) -> None:
        if prediction_type not in COEFFICIENTS:
            raise ValueError(
                f"Expected prediction_type {' or '.join(COEFFICIENTS)}, received "
                f"'{prediction_type}'."
            )
        if timestep_spacing not in SPACINGS:
            raise ValueError(
                "Expected timestep_spacing leading, trailing or linspace, received "
                f"'{timestep_spacing}'."
            )
        if prediction_type == "epsilon" and alphas_cumprod[-1] == 0:
            raise ValueError(
                "A schedule with zero terminal SNR cannot predict noise, since the "
                "latent holds no signal at its first step; use v_prediction."
            )
        self.alphas_cumprod = alphas_cumprod
        self.prediction_type = prediction_type
        self.timestep_spacing = timestep_spacing
        self.steps_offset = steps_offset
        self.set_alpha_to_one = set_alpha_to_one
        self.distilled_steps = distilled_steps

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Schedule:
        """Return the schedule of a diffusers scheduler's configuration.

        Raises:
            ValueError: the configuration's betas or timesteps are of an unknown kind.
        """
        betas = read_betas(config)
        spacing = config.get("timestep_spacing", "leading")
        if "LCM" in config.get("_class_name", ""):
            spacing = "consistency"
        if config.get("rescale_betas_zero_snr"):
            betas = zero_terminal(betas)
        return cls(
            (1 - betas).cumprod(dim=0).double(),
            prediction_type=config.get("prediction_type", "epsilon"),
            timestep_spacing=spacing,
            steps_offset=config.get("steps_offset", 0),
            set_alpha_to_one=config.get("set_alpha_to_one", True),
            distilled_steps=config.get("original_inference_steps") or 50,
        )

    def timesteps(self, num_steps: int) -> list[int]:
        """Return the timesteps of a chain, noisiest first.

        Raises:
            ValueError: the model knows fewer timesteps than `num_steps`, or it is
                below 1.
        """
        total = len(self.alphas_cumprod)
        distilled = self.timestep_spacing == "consistency"
        known = self.distilled_steps if distilled else total
        if not 1 <= num_steps <= known:
            raise ValueError(
                f"Expected num_steps between 1 and {known}, received {num_steps}."
            )
        return SPACINGS[self.timestep_spacing](
            num_steps, total, offset=self.steps_offset, distilled=self.distilled_steps
        )

    def steps(self, num_steps: int) -> list[Step]:
        """Return the steps of a chain, noisiest first.

        Each step ends at the timestep at which the next one begins.

        Raises:
            ValueError: the model has fewer timesteps, or `num_steps` is below 1.
        """
        timesteps = self.timesteps(num_steps)
        levels = [self.alphas_cumprod[t].item() for t in timesteps]
        last = 1.0 if self.set_alpha_to_one else self.alphas_cumprod[0].item()
        return [
            self.step(t, level, after)
            for t, level, after in zip(
                timesteps, levels, [*levels[1:], last], strict=True
            )
        ]

    def step(self, t: int, level_t: float, level_s: float) -> Step:
        """Return the step from one noise level to the next.

        Args:
            t: timestep of the prediction.
            level_t: alpha_t^2.
            level_s: alpha_s^2.
        """
        levels = (
            math.sqrt(level_t),
            math.sqrt(1 - level_t),
            math.sqrt(level_s),
            math.sqrt(1 - level_s),
        )
        a, b = (1.0, 0.0)
        if level_t != level_s:
            a, b = COEFFICIENTS[self.prediction_type](*levels)
        return Step(t, a, b, *levels)


class FlowSchedule:
    """The steps of a flow-matching model:  z_t = (1 - t) z_0 + t noise,  t in [0, 1].

    Args:
        sigmas: returns T + 1 falling noise levels for T steps; the last one is 0.
        num_train_timesteps: timestep of the network at noise level 1.
    """

    prediction_type = "flow_prediction"

    def __init__(
        self,
        sigmas: Callable[[int], Sequence[float]],
        num_train_timesteps: int = 1000,
    ) -> None:
        self.sigmas = sigmas
        self.num_train_timesteps = num_train_timesteps

    def steps(self, num_steps: int) -> list[Step]:
        """Return the steps of a chain, noisiest first:  z_s = z_t + (s - t) u.

        Raises:
            ValueError: `num_steps` is below 1.
        """
        if num_steps < 1:
            raise ValueError(f"Expected num_steps of at least 1, received {num_steps}.")
        levels = self.sigmas(num_steps)
        return [
            Step(self.num_train_timesteps * t, 1.0, s - t, 1 - t, t, 1 - s, s)
            for t, s in pairwise(levels)
        ]


def epsilon_coefficients(
    alpha_t: float, sigma_t: float, alpha_s: float, sigma_s: float
) -> tuple[float, float]:
    """Return a and b for a noise prediction.

    a = alpha_s / alpha_t,  b = sigma_s - a sigma_t.
    """
    a = alpha_s / alpha_t
    return a, sigma_s - a * sigma_t


def v_coefficients(
    alpha_t: float, sigma_t: float, alpha_s: float, sigma_s: float
) -> tuple[float, float]:
    """Return a and b for the velocity  v = alpha noise - sigma z_0.

    a = alpha_s alpha_t + sigma_s sigma_t,  b = sigma_s alpha_t - alpha_s sigma_t.
    """
    return (
        alpha_s * alpha_t + sigma_s * sigma_t,
        sigma_s * alpha_t - alpha_s * sigma_t,
    )


COEFFICIENTS = {"epsilon": epsilon_coefficients, "v_prediction": v_coefficients}
