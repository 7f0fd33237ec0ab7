"""The paper's optimiser of the latent pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from doodl.rules import LatentOptimizer, Transform
from doodl.rules.paper import paper_rule


class LatentSGD(LatentOptimizer):
    """SGD with momentum and the projections of DOODL, applied in a fixed order.

    An update computes

    1. g = `lr` * gradient
    2. g <- the mean of g over the pair, if `tie_gradients`
    3. g <- g with every element clipped to [-`clip`, `clip`]
    4. m <- `momentum` * m + g
    5. z <- z - m + `noise_scale` * noise, with the same noise for both latents
    6. z <- the mean of z over the pair, if `average_pair`
    7. z <- z rescaled to the norms of the initial latents, if `renormalize`

    Without clip, noise and the three options it equals `torch.optim.SGD`. The rule is
    that of `paper_rule`, with settings that are stored in the parameter groups.

    Args:
        params: the latent pair.
        lr: the paper's lambda; it multiplies the gradient before the clip.
        momentum: decay of the momentum buffer m, without dampening.
        clip: largest magnitude of an element of g; None for no clip.
        noise_scale: standard deviation of the noise.
        tie_gradients: replace the gradients of both latents with their mean.
        average_pair: replace both latents with their mean. It must be false when
            editing, where the pair starts as two different latents.
        renormalize: rescale each latent to the norm that it had initially.
        nesterov: in step 5, use g + `momentum` * m in place of m, as
            `torch.optim.SGD` does; the released code does not.

    References:
        Wallace et al., arXiv 2303.13703, Algorithm 1, in the released code's order.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        momentum: float = 0.9,
        *,
        clip: float | None = 1e-3,
        noise_scale: float = 1e-4,
        tie_gradients: bool = True,
        average_pair: bool = True,
        renormalize: bool = True,
        nesterov: bool = False,
    ) -> None:
        settings: dict[str, Any] = {
            "momentum": momentum,
            "clip": clip,
            "noise_scale": noise_scale,
            "tie_gradients": tie_gradients,
            "average_pair": average_pair,
            "renormalize": renormalize,
            "nesterov": nesterov,
        }
        super().__init__(params, paper_rule(**settings), lr)
        self.defaults |= settings
        for group in self.param_groups:
            for name, value in settings.items():
                group.setdefault(name, value)

    @override
    def rule(self, group: dict[str, Any]) -> list[Transform]:
        names = ("momentum", "clip", "noise_scale")
        switches = ("tie_gradients", "average_pair", "renormalize", "nesterov")
        # Schedulers and `load_state_dict` change the settings of a group.
        return paper_rule(**{name: group[name] for name in (*names, *switches)})

    @property
    @override
    def settings(self) -> dict[str, Any]:
        return self.defaults


def check_optimizer(
    make: Callable[[Iterable[Tensor]], Optimizer], *, editing: bool
) -> LatentOptimizer:
    """Return an optimiser of an empty pair, which shows early if settings are invalid.

    Args:
        make: makes the optimiser from its parameters.
        editing: whether the pair starts as two different latents.

    Raises:
        ValueError: the optimiser is not a `LatentOptimizer`, refuses its settings, or
            averages a pair of different latents.
    """
    trial = make([torch.zeros(2, 0, 1, 1, 1)])
    if not isinstance(trial, LatentOptimizer):
        raise ValueError(
            f"Expected the optimizer LatentSGD, LatentOptimizer or a subclass of them, "
            f"received {type(trial).__name__}, which knows no generations."
        )
    if editing and trial.merges_pair:
        raise ValueError(
            "Expected average_pair false with an edit, received true: the pair that "
            "makes a given picture is two different latents, and their mean makes "
            "another one; set model.optimizer.init_args.average_pair false, or leave "
            "Average out of the rule."
        )
    return trial
