"""EDICT: a chain on two coupled latents that every step can undo exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from doodl.sampling.chain import Method, Move, State
from doodl.sampling.schedule import Step


@dataclass(frozen=True)
class Coupling:
    """Moves one latent by the prediction at the other:  x <- a x + b f(y, t).

    Args:
        target: index of the latent that moves, 0 or 1.
        a: factor of the latent.
        b: factor of the prediction.
        timestep: timestep of the prediction.
    """

    target: int
    a: float
    b: float
    timestep: float

    @property
    def source(self) -> int:
        """Index of the latent that the network takes; the move does not change it."""
        return 1 - self.target

    def step(self, state: State, prediction: Tensor) -> State:
        """Move the target:  x <- a x + b f."""
        return self._put(state, self.a * state[self.target] + self.b * prediction)

    def unstep(self, state: State, prediction: Tensor) -> State:
        """Move the target back:  x <- (x - b f) / a."""
        return self._put(state, (state[self.target] - self.b * prediction) / self.a)

    def pullback(self, grads: State) -> tuple[State, Tensor]:
        """Transpose of `step`: gradients of the state before it and of f."""
        grad = grads[self.target]
        return self._put(grads, self.a * grad), self.b * grad

    def _put(self, state: State, latent: Tensor) -> State:
        x, y = state
        return (latent, y) if self.target == 0 else (x, latent)


@dataclass(frozen=True)
class Mixing:
    """Pulls the two latents together, without a prediction.

    Args:
        p: mixing coefficient in (0, 1]; 1 leaves the latents as they are.
    """

    p: float
    source: None = None
    timestep: None = None

    def step(self, state: State, prediction: None = None) -> State:
        """Pull the latents together:  x' = p x + (1 - p) y,  y' = p y + (1 - p) x'."""
        x, y = state
        x = self.p * x + (1 - self.p) * y
        y = self.p * y + (1 - self.p) * x
        return x, y

    def unstep(self, state: State, prediction: None = None) -> State:
        """Inverse of `step`, in exact arithmetic."""
        x, y = state
        y = (y - (1 - self.p) * x) / self.p
        x = (x - (1 - self.p) * y) / self.p
        return x, y

    def pullback(self, grads: State) -> tuple[State, None]:
        """Transpose of `step`."""
        x, y = grads
        x, y = x + (1 - self.p) * y, self.p * y
        return (self.p * x, y + (1 - self.p) * x), None


class EDICT(Method):
    """Exact diffusion inversion by coupled transformations.

    One denoising step t -> s is two couplings and a mixing,

        x <- a x + b f(y, t),   y <- a y + b f(x, t),   mix(x, y),

    where x and y swap roles in the couplings (not in the mixing) on odd steps, counted
    from the noisiest step of the full schedule. The repositories of EDICT and DOODL
    both swap them; neither paper says so.

    Args:
        mixing: p in (0, 1]. It has to suit the number of steps: fewer, larger steps
            need more mixing (a smaller p), or the two latents drift apart and the
            image is corrupt. A smaller p costs precision: the inverse of each step
            amplifies round-off by p^-2.

    Raises:
        ValueError: `mixing` is out of range.

    References:
        Wallace, Gokul, Naik, EDICT, CVPR 2023, arXiv 2211.12446.
    """

    num_latents = 2
    reversible = True

    def __init__(self, mixing: float = 0.93) -> None:
        if not 0 < mixing <= 1:
            raise ValueError(f"Expected a mixing in (0, 1], received {mixing}.")
        self.mixing = mixing

    def moves(self, steps: Sequence[Step], *, start: int = 0) -> list[Move]:
        """Return the moves of a chain, without couplings that change nothing.

        Args:
            steps: all steps of the schedule, noisiest first.
            start: index of the first step that is done; above 0 for a partial chain.
        """
        moves: list[Move] = []
        for index, step in enumerate(steps[start:], start):
            if step.b != 0 or step.a != 1:
                order = (0, 1) if index % 2 == 0 else (1, 0)
                moves += [Coupling(k, step.a, step.b, step.t) for k in order]
            moves.append(Mixing(self.mixing))
        return moves
