"""What flows through a rule, and what a transform is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from doodl.description import Described


@dataclass
class Update:
    """One update of the latents, which every transform of a rule changes in turn.

    Args:
        latents: z, (2, B, C, h, w).
        step: g, at first the gradient, of the same shape.
        number: of the update, from 0.
        lr: of the optimiser.
        seeds: of the B generations.
        norms: (2, B), of the initial latents.
        memory: what the transforms remember of the last update, by name.

    Attributes:
        report: what is logged, (B,) each, by name.
    """

    latents: Tensor
    step: Tensor
    number: int
    lr: float
    seeds: Sequence[int]
    norms: Tensor
    memory: dict[str, Tensor]
    report: dict[str, Tensor] = field(default_factory=dict)


class Transform(Described, ABC):
    """One verb of an update.

    A transform holds its arguments only; what it remembers from one update to the next
    is in `Update.memory`. It must treat generations alike and independently, and must
    not read values of tensors on the host.

    Attributes:
        stage: what it changes: the step (`gradient`), the latents by the step (`move`),
            or the latents afterwards (`latents`).
        merges_pair: whether both latents become the same one, which an edit refuses.
    """

    stage: ClassVar[Literal["gradient", "move", "latents"]] = "gradient"
    merges_pair: ClassVar[bool] = False

    def start(self, latents: Tensor) -> Mapping[str, Tensor]:
        """Return what is remembered at the beginning, by name.

        Args:
            latents: the initial latents (2, B, C, h, w).

        Returns:
            floating-point tensors, (2, B, C, h, w) or (1, B, 1, 1, 1).
        """
        return {}

    @abstractmethod
    def __call__(self, update: Update) -> None:
        """Change the update; tensors are replaced, never written into."""


def check_rule(rule: Sequence[Transform]) -> None:
    """Refuse a sequence of transforms that is no rule.

    Raises:
        ValueError: no or several moves, a transform out of order, or two that remember
            the same.
    """
    names = [type(transform).__name__ for transform in rule]
    listed = ", ".join(names) or "nothing"
    stages = [transform.stage for transform in rule]
    if stages.count("move") != 1:
        raise ValueError(
            "Expected a rule with one move, such as Descend, received "
            f"{stages.count('move')} in {listed}."
        )
    order = ("gradient", "move", "latents")
    if stages != sorted(stages, key=order.index):
        raise ValueError(
            "Expected a rule with transforms of the gradient first, then a move, then "
            f"transforms of the latents, received {listed}."
        )
    latents = torch.zeros(2, 0, 1, 1, 1)
    remembered = [name for transform in rule for name in transform.start(latents)]
    for name in remembered:
        if remembered.count(name) > 1:
            raise ValueError(
                f"Expected one transform that remembers '{name}', received several in "
                f"{listed}."
            )
