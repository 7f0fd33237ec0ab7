"""The noise schedule: timesteps, and the coefficients of a step from t to s < t."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One denoising step  z_s = a z_t + b f(z', t)  of a raw prediction f.

    A noisy latent is  alpha x_0 + sigma noise.

    Args:
        t: the timestep that the network is told.
        a: factor of the latent.
        b: factor of the prediction.
        alpha_t: signal level at t; sqrt of the cumulative product of alphas.
        sigma_t: noise level at t; sqrt(1 - alpha^2), of a flow 1 - alpha.
        alpha_s: likewise at s.
        sigma_s: likewise at s.
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
        alphas_cumprod: (N,) float64, the squared alphas of N training timesteps.
        prediction_type: `epsilon` or `v_prediction`.
        timestep_spacing: `leading`, `trailing` or `linspace`; `consistency` for those
            that a latent consistency model was distilled for.
        steps_offset: added to leading timesteps.
        distilled_steps: how many timesteps a consistency model knows.
        set_alpha_to_one: whether the last step ends at alpha 1, else at timestep 0's.

    Raises:
        ValueError: for another prediction type or spacing, or for noise prediction
            where the signal vanishes at the noisiest timestep.
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
        """Build it from a diffusers scheduler's configuration."""
        betas = _betas(config)
        spacing = config.get("timestep_spacing", "leading")
        if "LCM" in config.get("_class_name", ""):
            spacing = "consistency"
        if config.get("rescale_betas_zero_snr"):
            betas = _zero_terminal(betas)
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
            ValueError: when there are not that many.
        """
        total = len(self.alphas_cumprod)
        known = (
            total if self.timestep_spacing != "consistency" else self.distilled_steps
        )
        if not 1 <= num_steps <= known:
            raise ValueError(
                f"Expected num_steps between 1 and {known}, received {num_steps}."
            )
        if self.timestep_spacing == "consistency":
            ratio = total // known
            return [
                (known - i * known // num_steps) * ratio - 1 for i in range(num_steps)
            ]
        if self.timestep_spacing == "leading":
            ratio = total // num_steps
            return [
                min(i * ratio + self.steps_offset, total - 1)
                for i in reversed(range(num_steps))
            ]
        if self.timestep_spacing == "trailing":
            # diffusers rounds the multiples of this difference (numpy.arange); those
            # of the ratio itself fall to the other side where they end in one half.
            stride = total - (total - total / num_steps)
            return [round(total - i * stride) - 1 for i in range(num_steps)]
        stride = (total - 1) / max(num_steps - 1, 1)
        return [round(i * stride) for i in reversed(range(num_steps))]

    def steps(self, num_steps: int) -> list[Step]:
        """Return the steps of a chain; each ends where the next one begins."""
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
        """Return the step from one squared alpha to another."""
        signs = (
            math.sqrt(level_t),
            math.sqrt(1 - level_t),
            math.sqrt(level_s),
            math.sqrt(1 - level_s),
        )
        a, b = (1.0, 0.0)
        if level_t != level_s:
            a, b = COEFFICIENTS[self.prediction_type](*signs)
        return Step(t, a, b, *signs)


class FlowSchedule:
    """The steps of a flow, along straight lines from noise at 1 to the picture at 0.

    Args:
        sigmas: returns T + 1 noise levels for T steps, the last one 0.
        num_train_timesteps: the timestep at noise level 1.
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
        """Return the steps of a chain:  z_s = z_t + (sigma_s - sigma_t) u.

        Raises:
            ValueError: for less than one step.
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
    """Noise:  a = alpha_s / alpha_t,  b = sigma_s - a sigma_t."""
    a = alpha_s / alpha_t
    return a, sigma_s - a * sigma_t


def v_coefficients(
    alpha_t: float, sigma_t: float, alpha_s: float, sigma_s: float
) -> tuple[float, float]:
    """Velocity v = alpha eps - sigma z_0, the rotation from t to s.

    a = alpha_s alpha_t + sigma_s sigma_t,  b = sigma_s alpha_t - alpha_s sigma_t.
    """
    return (
        alpha_s * alpha_t + sigma_s * sigma_t,
        sigma_s * alpha_t - alpha_s * sigma_t,
    )


SPACINGS = ("leading", "trailing", "linspace", "consistency")
COEFFICIENTS = {"epsilon": epsilon_coefficients, "v_prediction": v_coefficients}


def _betas(config: Mapping[str, Any]) -> Tensor:
    """Return the betas, (N,) float32, in diffusers' own precision."""
    if config.get("trained_betas") is not None:
        return torch.tensor(config["trained_betas"], dtype=torch.float32)
    total = config.get("num_train_timesteps", 1000)
    start, end = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    kind = config.get("beta_schedule", "linear")
    if kind == "linear":
        return torch.linspace(start, end, total)
    if kind == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, total).square()
    if kind == "squaredcos_cap_v2":
        bar = [
            math.cos((i / total + 0.008) / 1.008 * math.pi / 2) ** 2
            for i in range(total + 1)
        ]
        return torch.tensor([min(1 - bar[i + 1] / bar[i], 0.999) for i in range(total)])
    raise ValueError(f"Expected a beta_schedule known to DDIM, received '{kind}'.")


def _zero_terminal(betas: Tensor) -> Tensor:
    """Return betas rescaled so that no signal is left at the last timestep.

    References:
        Lin et al., arXiv 2305.08891, algorithm 1.
    """
    alphas = (1 - betas).cumprod(dim=0).sqrt()
    alphas = (alphas - alphas[-1]) * (alphas[0] / (alphas[0] - alphas[-1]))
    squared = alphas.square()
    return 1 - torch.cat((squared[:1], squared[1:] / squared[:-1]))
