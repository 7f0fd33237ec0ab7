"""EDICT: a chain on two coupled latents that every step can undo exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from doodl.sampling.method import Method
from doodl.sampling.schedule import Step

Pair = tuple[Tensor, ...]


@dataclass(frozen=True)
class Coupling:
    """Moves one latent by the prediction at the other:  x <- a x + b f(y, t).

    Args:
        target: index of the latent that moves.
        a: factor of the latent.
        b: factor of the prediction.
        timestep: what the network is told.
    """

    target: int
    a: float
    b: float
    timestep: float

    @property
    def source(self) -> int:
        """Index of the latent that the network is asked at; this move keeps it."""
        return 1 - self.target

    def step(self, pair: Pair, prediction: Tensor) -> Pair:
        """Move the target:  x <- a x + b f."""
        return self._put(pair, self.a * pair[self.target] + self.b * prediction)

    def unstep(self, pair: Pair, prediction: Tensor) -> Pair:
        """Move it back:  x <- (x - b f) / a."""
        return self._put(pair, (pair[self.target] - self.b * prediction) / self.a)

    def pullback(self, grads: Pair) -> tuple[Pair, Tensor]:
        """Transpose of `step`: what grads of its result are for the pair and for f."""
        grad = grads[self.target]
        return self._put(grads, self.a * grad), self.b * grad

    def _put(self, pair: Pair, latent: Tensor) -> Pair:
        x, y = pair
        return (latent, y) if self.target == 0 else (x, latent)


@dataclass(frozen=True)
class Mixing:
    """Pulls the pair together; asks no network."""

    p: float
    source: None = None
    timestep: None = None

    def step(self, pair: Pair, prediction: None = None) -> Pair:
        """Pull the pair together:  x' = p x + (1 - p) y,  y' = p y + (1 - p) x'."""
        x, y = pair
        x = self.p * x + (1 - self.p) * y
        y = self.p * y + (1 - self.p) * x
        return x, y

    def unstep(self, pair: Pair, prediction: None = None) -> Pair:
        """Inverse of `step`, in exact arithmetic."""
        x, y = pair
        y = (y - (1 - self.p) * x) / self.p
        x = (x - (1 - self.p) * y) / self.p
        return x, y

    def pullback(self, grads: Pair) -> tuple[Pair, None]:
        """Transpose of `step`."""
        x, y = grads
        x, y = x + (1 - self.p) * y, self.p * y
        return (self.p * x, y + (1 - self.p) * x), None


Move = Coupling | Mixing


class EDICT(Method):
    """Exact diffusion inversion by coupled transformations.

    One denoising step t -> s is two couplings and a mixing,

        x <- a x + b f(y, t),   y <- a y + b f(x, t),   mix(x, y),

    where the roles of x and y in the couplings are swapped on odd steps, counted from
    the noisiest of the full schedule (both papers' repositories do so).

    Args:
        mixing: p in (0, 1]. It has to follow the number of steps: large steps need
            more mixing (a smaller p), or the latents drift apart and the image is
            corrupt; each step's inverse amplifies round-off by p^-2.

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
        """Return the moves of a chain; couplings that change nothing are left out.

        Args:
            steps: of the full schedule.
            start: index of the first step that is done, for a partial chain.
        """
        moves: list[Move] = []
        for index, step in enumerate(steps[start:], start):
            if step.b != 0 or step.a != 1:
                order = (0, 1) if index % 2 == 0 else (1, 0)
                moves += [Coupling(k, step.a, step.b, step.t) for k in order]
            moves.append(Mixing(self.mixing))
        return moves
