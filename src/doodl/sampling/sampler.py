"""A sampler is a noise schedule, a denoiser, a method, and an adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from doodl.sampling.adjoints import Adjoint, ReversibleAdjoint, prepare
from doodl.sampling.chain import Method, Move, Predict, unrun
from doodl.sampling.denoiser import Conditioning, GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.schedule import Step


class Steps(Protocol):
    """A noise schedule that can be cut into any number of denoising steps."""

    @property
    def prediction_type(self) -> str:
        """`epsilon`, `v_prediction` or `flow_prediction`."""

    def steps(self, num_steps: int) -> list[Step]:
        """Return the steps, noisiest first."""


class Sampler:
    """Denoises latents differentiably, and inverts denoised ones.

    Latents are (k, B, C, h, w) with the method's `num_latents` k: 2 for EDICT.

    Args:
        schedule: the model's noise schedule.
        denoiser: the network with classifier-free guidance.
        method: turns denoising steps into moves; by default `EDICT()`.
        adjoint: computes the gradient; by default `ReversibleAdjoint()`.
        num_steps: number of denoising steps T, at least 1.
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
        """Return the denoised latents, differentiable with respect to `latents`.

        Args:
            latents: (k, B, C, h, w) at the noise level of step `start`.
            conditioning: inputs of the network for the B generations.
            start: index of the first step; above 0 for a partial chain.

        Returns:
            (k, B, C, h, w).
        """
        predict, state = self._predict(conditioning), tuple(latents.unbind())
        moves = self.moves(start)
        counted = self.denoiser.calls
        prepare(self.adjoint, moves, predict, state)
        self.denoiser.calls = counted  # what it measures is no call of the chain
        return torch.stack(self.adjoint(moves, predict, state))

    @torch.no_grad()
    def invert(
        self, latents: Tensor, conditioning: Conditioning, *, start: int = 0
    ) -> Tensor:
        """Return the noisy latents from which `sample` makes the given ones.

        Args:
            latents: (k, B, C, h, w), denoised.
            conditioning: inputs of the network for the B generations.
            start: index of the step at whose noise level the result is.

        Returns:
            (k, B, C, h, w).

        Raises:
            NotImplementedError: the method is not reversible.
        """
        predict = self._predict(conditioning)
        moves = self.moves(start)
        return torch.stack(unrun(moves, predict, tuple(latents.unbind())))

    def moves(self, start: int = 0) -> Sequence[Move]:
        """Return the moves of the chain from step `start` on, computed once.

        Raises:
            ValueError: the chain has no step `start`.
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
