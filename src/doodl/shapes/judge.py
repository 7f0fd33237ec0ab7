"""Says whether a picture of the shapes world is what its caption asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from doodl import images
from doodl.generation import Generation
from doodl.guides.base import Guide
from doodl.pretrained import load_timm, locate
from doodl.shapes.arrangement import SIZE
from doodl.shapes.attributes import HEADS, readings, split_logits
from doodl.shapes.renderer import rating
from doodl.shapes.words import KINDS, PATTERNS

Reading = dict[str, set[str]]
"""The classes allowed for each head of the judge that matters."""
OBJECT = ("kind", "colour", "pattern")


class AttributeJudge:
    """A classifier of shapes, colours, patterns, relation and background.

    Args:
        model: a timm checkpoint with the heads of `doodl.shapes.attributes`.
    """

    def __init__(self, model: str = "shapes/attributes") -> None:
        locate(model, "config.json")
        self.model = model
        self.references: dict[str, dict[str, str]] = {}

    def load(self, device: torch.device | str = "cpu") -> None:
        """Load the classifier, frozen."""
        self.network = load_timm(self.model, device)

    @torch.no_grad()
    def verdicts(
        self, pixels: Tensor, generations: Sequence[Generation]
    ) -> list[bool | None]:
        """Return whether all that each generation asks for is right.

        That is what its prompt names, its target class, and of the picture that goes
        with it the first object's kind, colour and pattern. None if it can't tell.

        Args:
            pixels: (B, 3, 64, 64) in [0, 1].
            generations: what was asked for.
        """
        seen = self.describe(pixels)
        return [
            matches(description, self.wanted(generation))
            for description, generation in zip(seen, generations, strict=True)
        ]

    def wanted(self, generation: Generation) -> list[Reading] | None:
        """Return what a generation asks for, None if it is not of this world."""
        try:
            found = readings(generation.prompt)
            more = {} if generation.target is None else named(generation.target)
        except ValueError:
            return None
        if generation.image is not None:
            seen = self.reference(generation.image)
            more = {f"first_{k}": {seen[f"first_{k}"]} for k in OBJECT}
        return [reading | more for reading in found]

    def reference(self, path: str) -> dict[str, str]:
        """Return what a picture file shows; each is read once."""
        if path not in self.references:
            pixels = images.cover(images.load(path), SIZE, SIZE)[None]
            device = next(self.network.parameters()).device
            (self.references[path],) = self.describe(pixels.to(device))
        return self.references[path]

    def describe(self, pixels: Tensor) -> list[dict[str, str]]:
        """Return the most likely class of each attribute, a picture a dict."""
        logits = split_logits(self.network(images.to_images(pixels)))
        winners = {head: values.argmax(1).tolist() for head, values in logits.items()}
        return [
            {head: HEADS[head][winners[head][i]] for head in HEADS}
            for i in range(len(pixels))
        ]


class Rating(Guide):
    """The renderer's own rating of a picture, from 1 to 10, as a guide or judge."""

    @override
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return -rating(pixels)


def named(target: str) -> Reading:
    """Return what a fine-grained class as "striped house" asks for.

    Raises:
        ValueError: it is no pattern and kind of this world.
    """
    pattern, _, kind = target.partition(" ")
    if pattern not in PATTERNS or kind not in KINDS:
        raise ValueError(
            f"Expected a pattern and a kind as 'striped house', received '{target}'."
        )
    return {"first_pattern": {pattern}, "first_kind": {kind}}


def matches(seen: dict[str, str], wanted: list[Reading] | None) -> bool | None:
    """Return whether a description fits one of several readings, None for none."""
    if wanted is None:
        return None
    return any(
        all(seen[head] in classes for head, classes in reading.items())
        for reading in wanted
    )
