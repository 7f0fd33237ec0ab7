"""Says whether a picture of the shapes world is what its caption asks for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from doodl.data import Generation
from doodl.pretrained import load_timm, locate
from doodl.shapes.attributes import HEADS, readings, split_logits


class AttributeJudge:
    """A classifier of shapes, colours, patterns, relation and background.

    Args:
        model: a timm checkpoint with the heads of `doodl.shapes.attributes`.
    """

    def __init__(self, model: str = "shapes/attributes") -> None:
        locate(model, "config.json")
        self.model = model

    def load(self, device: torch.device | str = "cpu") -> None:
        """Load the classifier, frozen."""
        self.network = load_timm(self.model, device)

    @torch.no_grad()
    def verdicts(
        self, pixels: Tensor, generations: Sequence[Generation]
    ) -> list[bool | None]:
        """Return whether all that each prompt names is right; None if it can't tell.

        Args:
            pixels: (B, 3, 64, 64) in [0, 1].
            generations: whose prompts were asked for.
        """
        seen = self.describe(pixels)
        return [matches(s, g.prompt) for s, g in zip(seen, generations, strict=True)]

    def describe(self, pixels: Tensor) -> list[dict[str, str]]:
        """Return the most likely class of each attribute, a picture a dict."""
        logits = split_logits(self.network((pixels - 0.5) / 0.5))
        winners = {head: values.argmax(1).tolist() for head, values in logits.items()}
        return [
            {head: HEADS[head][winners[head][i]] for head in HEADS}
            for i in range(len(pixels))
        ]


def matches(seen: dict[str, str], caption: str) -> bool | None:
    """Return whether a description fits a caption, None for a foreign caption."""
    try:
        wanted = readings(caption)
    except ValueError:
        return None
    return any(
        all(seen[head] in classes for head, classes in reading.items())
        for reading in wanted
    )
