"""The approximate adjoint: the chain is exact, its gradient leaves the network out.

The network's Jacobian is what a gradient costs. Without it the gradient is exact for a
network that ignores the latent. With v-prediction a constant prediction is not the same
as a constant noise, so that what is left out differs from what it is for other models.
"""

from __future__ import annotations

from collections.abc import Sequence

from doodl.sampling.backward import Frozen, apply
from doodl.sampling.chain import Move, Predict, State
from doodl.sampling.gradient import GradientCalls, num_calls


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
