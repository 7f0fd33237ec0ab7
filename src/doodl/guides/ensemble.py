"""Ensemble: several guides as one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from doodl.generation import Generation
from doodl.guides.base import Guide
from doodl.guides.cutouts import resize


class Ensemble(Guide):
    """Weighted mean of the losses of guides:  sum_k w_k l_k / sum_k w_k.

    `input_size` is the largest of the members' input sizes; the images are resized to
    each member's own.

    Args:
        guides: the members, at least one.
        weights: one for each guide, 0 or more and not all 0; by default all equal.

    Attributes:
        names: name of each member: its class, numbered from 1 where several members
            have the same class, as `CLIPImage_1`.

    Raises:
        ValueError: there are no guides, or the weights are not as described.

    References:
        DOODL, arXiv 2303.13703, personalises with three CLIPs of weights 0.5, 0.25
        and 0.25.
    """

    def __init__(self, guides: list[Guide], weights: list[float] | None = None) -> None:
        super().__init__()
        weights = [1.0] * len(guides) if weights is None else list(weights)
        check_weights(len(guides), weights)
        self.guides = nn.ModuleList(guides)
        self.weights = [weight / math.fsum(weights) for weight in weights]
        self.names = _names(guides)

    @property
    def members(self) -> list[Guide]:
        """The guides, in the order of their weights."""
        return [guide for guide in self.guides if isinstance(guide, Guide)]

    @override
    def load(self, device: torch.device | str = "cpu") -> None:
        for guide in self.members:
            guide.load(device)
        sizes = [g.input_size for g in self.members if g.input_size is not None]
        self.input_size = max(sizes, default=None)

    @override
    def check(self, generations: Sequence[Generation]) -> None:
        for guide in self.members:
            guide.check(generations)

    @override
    def prepare(self, generations: Sequence[Generation]) -> dict[str, Tensor]:
        """Return the targets of all members, named `MEMBER.TARGET`: `0.embedding`."""
        return {
            f"{k}.{name}": target
            for k, guide in enumerate(self.members)
            for name, target in guide.prepare(generations).items()
        }

    @override
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted means (N,) of the members' losses."""
        return self.terms(pixels, targets)["loss"]

    @override
    def terms(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weighted means and, without gradient, the members' losses.

        Returns:
            losses (N,): `loss`, then each member's under its name; the terms of a
            member follow it with its name in front, as `Ensemble.CLIPText_1`.
        """
        found: dict[str, Tensor] = {}
        losses = []
        for k, guide in enumerate(self.members):
            total, *parts = guide.terms(_fit(pixels, guide), _own(targets, k)).items()
            losses.append(total[1])
            found[self.names[k]] = total[1].detach()
            found |= {f"{self.names[k]}.{name}": p.detach() for name, p in parts}
        return {"loss": self._mean(losses), **found}

    @override
    def score(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted means (N,) of the members' scores."""
        return self._mean(
            [
                guide.score(_fit(pixels, guide), _own(targets, k))
                for k, guide in enumerate(self.members)
            ]
        )

    def _mean(self, values: Sequence[Tensor]) -> Tensor:
        weighted = [w * v for w, v in zip(self.weights, values, strict=True)]
        return torch.stack(weighted).sum(dim=0)


def check_weights(count: int, weights: Sequence[float]) -> None:
    """Refuse weights that do not define a mean of `count` losses.

    Raises:
        ValueError: `count` is 0, there is another number of weights, one of them is
            negative or not finite, or all are 0.
    """
    if not count:
        raise ValueError(
            "Expected at least one guide in the ensemble, received an empty list."
        )
    if len(weights) != count:
        raise ValueError(
            f"Expected one weight for each of {count} guides, received {len(weights)}."
        )
    for weight in weights:
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"Expected weights of 0 or more, received {weight}.")
    if not any(weights):
        raise ValueError(
            "Expected at least one weight above 0, received only zeros; "
            "leave the weights out for equal ones."
        )


def _names(guides: Sequence[Guide]) -> list[str]:
    """Return the guides' class names, numbered where several are equal."""
    classes = [type(guide).__name__ for guide in guides]
    total, seen = Counter(classes), Counter[str]()
    names = []
    for name in classes:
        seen[name] += 1
        names.append(f"{name}_{seen[name]}" if total[name] > 1 else name)
    return names


def _own(targets: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
    """Return the targets of member `k`, under the names that its `prepare` gave."""
    prefix = f"{k}."
    return {
        name.removeprefix(prefix): target
        for name, target in targets.items()
        if name.startswith(prefix)
    }


def _fit(pixels: Tensor, guide: Guide) -> Tensor:
    """Return pixels (N, 3, s, s) in the input size s of a guide."""
    size = guide.input_size
    return pixels if size is None else resize(pixels, size)
