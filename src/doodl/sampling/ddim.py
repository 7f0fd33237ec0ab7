"""DDIM: the chain on a single latent, as diffusers samples it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from doodl.sampling.chain import Method, State
from doodl.sampling.schedule import Step


@dataclass(frozen=True)
class Denoise:
    """Moves the latent by the prediction at itself:  z <- a z + b f(z, t).

    Args:
        a: factor of the latent.
        b: factor of the prediction.
        timestep: timestep of the prediction.
    """

    a: float
    b: float
    timestep: float
    source: int = 0

    def step(self, state: State, prediction: Tensor) -> State:
        """Return  a z + b f."""
        return (self.a * state[0] + self.b * prediction,)

    def unstep(self, state: State, prediction: Tensor) -> State:
        """Refuse: the prediction was made at a latent that the move overwrites.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "DDIM cannot be inverted exactly; use EDICT, or the direct or checkpoint "
            "adjoint."
        )

    def pullback(self, grads: State) -> tuple[State, Tensor]:
        """Transpose of `step` for a fixed prediction."""
        return (self.a * grads[0],), self.b * grads[0]


class DDIM(Method):
    """Deterministic sampling of one latent, `latents` of shape (1, B, C, h, w).

    References:
        Song, Meng, Ermon, Denoising Diffusion Implicit Models, arXiv 2010.02502.
    """

    num_latents = 1
    reversible = False

    def moves(self, steps: Sequence[Step], *, start: int = 0) -> list[Denoise]:
        """Return the moves of a chain, without steps that change nothing.

        Args:
            steps: all steps of the schedule, noisiest first.
            start: index of the first step that is done; above 0 for a partial chain.
        """
        return [
            Denoise(step.a, step.b, step.t)
            for step in steps[start:]
            if step.b != 0 or step.a != 1
        ]
