"""A sampler is a schedule, a denoiser, a method and the adjoint of its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from doodl.sampling.adjoints import (
    Adjoint,
    Move,
    Predict,
    ReversibleAdjoint,
    unrun,
)
from doodl.sampling.denoiser import Conditioning, GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.method import Method
from doodl.sampling.schedule import Step


class Steps(Protocol):
    """A noise schedule: a chain of any number of steps."""

    @property
    def prediction_type(self) -> str:
        """What the network predicts."""

    def steps(self, num_steps: int) -> list[Step]:
        """Return the steps, noisiest first."""


class Sampler:
    """Denoises latent pairs (2, B, C, h, w), differentiably, and inverts images.

    Args:
        schedule: of the model.
        denoiser: the guided network.
        method: which moves make a step.
        adjoint: how the gradient is taken.
        num_steps: T.
    """

    def __init__(
        self,
        schedule: Steps,
        denoiser: GuidedDenoiser,
        method: Method | None = None,
        adjoint: Adjoint | None = None,
        *,
        num_steps: int = 50,
    ) -> None:
        self.denoiser = denoiser
        self.prediction_type = schedule.prediction_type
        self.method = method or EDICT()
        self.adjoint = adjoint or ReversibleAdjoint()
        self.steps = schedule.steps(num_steps)
        self._moves: dict[int, Sequence[Move]] = {}

    def sample(
        self, latents: Tensor, conditioning: Conditioning, *, start: int = 0
    ) -> Tensor:
        """Return the denoised pair.

        Args:
            latents: the noisy pair, at the noise level of step `start`.
            conditioning: of the B generations.
            start: index of the first step, for a partial chain.
        """
        predict = self._predict(conditioning)
        moves = self.moves(start)
        return torch.stack(self.adjoint(moves, predict, tuple(latents.unbind())))

    @torch.no_grad()
    def invert(
        self, latents: Tensor, conditioning: Conditioning, *, start: int = 0
    ) -> Tensor:
        """Return the noisy pair from which `sample` makes the given one."""
        predict = self._predict(conditioning)
        moves = self.moves(start)
        return torch.stack(unrun(moves, predict, tuple(latents.unbind())))

    def moves(self, start: int = 0) -> Sequence[Move]:
        """Return the chain's moves, prepared once.

        Raises:
            ValueError: when the chain has no step `start`.
        """
        if not 0 <= start < len(self.steps):
            raise ValueError(
                f"Expected start between 0 and {len(self.steps) - 1}, the last step of "
                f"the chain, received {start}."
            )
        if start not in self._moves:
            self._moves[start] = self.method.moves(self.steps, start=start)
        return self._moves[start]

    def _predict(self, conditioning: Conditioning) -> Predict:
        def predict(z: Tensor, timestep: float) -> Tensor:
            return self.denoiser(z, timestep, conditioning)

        return predict
