"""Approximate adjoints: the chain is exact, its gradient leaves something out.

The network's Jacobian is what a gradient costs. Each of these leaves it out at some
calls, where it takes the prediction f for a constant of  z_s = a z_t + b f(z_t, t),
and keeps the linear part a.

| adjoint | differentiates | the gradient is exact for |
|---|---|---|
| `ShortcutAdjoint` | the calls of one step | one step |
| `StraightThroughAdjoint` | no call | none |

All are exact for a network that ignores the latent. With v-prediction a constant f is
not the same as a constant noise, so that what is left out differs from what it is for
other models.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from doodl.sampling.backward import Frozen, apply, requires_gradient
from doodl.sampling.chain import Move, Predict, State, run
from doodl.sampling.gradient import (
    GradientCalls,
    num_calls,
    step_spans,
)


class StraightThroughAdjoint:
    """Differentiates decoder and guide only: every prediction counts as a constant.

    Of a step  z_s = a z_t + b f(z_t, t)  it keeps  dz_s / dz_t = a, and takes df / dz_t
    for 0, so that the gradient of a DDIM chain is that of its final latent times the
    product of all a. Costs no gradient of the network and no memory: n calls forward,
    none with a gradient.

    References:
        Named after the straight-through estimator, which also replaces a Jacobian by a
        constant: Bengio, Leonard and Courville, arXiv 1308.3432, 2013.
    """

    reverses = False
    repeats = False

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state, linear in `state` for the gradient."""
        return apply(Frozen, moves, predict, state)

    def gradient_calls(
        self, moves: Sequence[Move], graph: int = 0, available: int = 0
    ) -> GradientCalls:
        """Return the calls of the chain; none is differentiated."""
        return GradientCalls(num_calls(moves), 0, 0)


class ShortcutAdjoint:
    """Differentiates the calls of one step, another one at every update.

    Ignores how the predictions of the other steps depend on the latents. Costs n calls
    forward, of which the step's calls (two of EDICT, one of DDIM) have a gradient and
    store their graph.

    The random step depends on `seed` and the number of the update only, so that it is
    the same for all batches and after a restart: `at(update)` sets the number, which
    otherwise counts the gradients so far.

    Args:
        step: index of the step, 0 being the noisiest, or from the end if negative; by
            default a random one at every update.
        seed: of the random choices.

    References:
        Shortcut diffusion optimisation (SDO), arXiv 2505.07477.
    """

    reverses = False
    repeats = False

    def __init__(self, step: int | None = None, seed: int = 0) -> None:
        self.step, self.seed = step, seed
        self.update = 0

    def at(self, update: int) -> None:
        """Set the number of the update whose chain comes next."""
        self.update = update

    def __call__(self, moves: Sequence[Move], predict: Predict, state: State) -> State:
        """Return the final state, all steps but one linear for the gradient.

        Raises:
            ValueError: the chain has no such step.
        """
        begin, end = self._span(moves)
        self.update += requires_gradient(state)
        state = apply(Frozen, moves[:begin], predict, state)
        state = run(moves[begin:end], predict, state)
        return apply(Frozen, moves[end:], predict, state)

    def gradient_calls(
        self, moves: Sequence[Move], graph: int = 0, available: int = 0
    ) -> GradientCalls:
        """Return the calls of the chain; those of one step are differentiated."""
        begin, end = self._span(moves)
        return GradientCalls(num_calls(moves), 0, num_calls(moves[begin:end]))

    def _span(self, moves: Sequence[Move]) -> tuple[int, int]:
        """Return where the moves of the chosen step begin and end."""
        spans = step_spans(moves)
        if not spans:
            return 0, 0
        if self.step is None:
            chosen = random.Random(f"{self.seed}/{self.update}").randrange(len(spans))
        elif -len(spans) <= self.step < len(spans):
            chosen = self.step
        else:
            raise ValueError(
                f"Expected a step of the shortcut between {-len(spans)} and "
                f"{len(spans) - 1}, since the chain has {len(spans)} steps that call "
                f"the network, received {self.step}."
            )
        return spans[chosen]
