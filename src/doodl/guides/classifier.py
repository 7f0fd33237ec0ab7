"""Classifier guidance: toward a class that a text encoder may not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from doodl.generation import Generation
from doodl.guides.base import Guide, freeze
from doodl.guides.labels import check_class, find_class, read_labels


class Classifier(Guide):
    """Cross-entropy of a classifier toward one class.

    With the loss `cross_entropy` it is -log softmax(logits) of the class. With `bce`
    it is the binary cross-entropy of sigmoid(logits), with truth 1 for the class and 0
    for the others, averaged over all classes.

    Args:
        model: name of a classifier: `shapes/NAME`, a folder saved by timm, a model
            name of timm, `hf-hub:owner/name` or `torchvision:NAME`; or a module that
            maps normalised pixels (N, 3, s, s) to logits (N, C).
        target: class for all generations without one of their own, as an index from 0
            or as a name.
        labels: file of class names, either text with one name a line, or JSON with a
            list of names or a mapping between names and indices; by default
            `labels.txt` in the model's folder, if there is one.
        loss: `cross_entropy`, or `bce` as in the paper.
        checkpoint: file of a state dict; `model` then is its architecture in timm or
            torchvision.
        input_size: side s of the input image in pixels. `input_size`, `mean` and `std`
            come from the model's own configuration by default; for a module all three
            are required.
        mean: mean of each channel, subtracted from pixels in [0, 1].
        std: standard deviation of each channel, by which the result is divided.

    Raises:
        ValueError: `model` is blank, `target` is not among the labels, the labels
            cannot be read, or the input settings are incomplete.

    References:
        DOODL, arXiv 2303.13703, guides toward classes of fine-grained data sets.
    """

    reads = frozenset({"target"})

    network: nn.Module
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: str | nn.Module,
        target: str | int | None = None,
        labels: str | None = None,
        *,
        loss: Literal["cross_entropy", "bce"] = "cross_entropy",
        checkpoint: str | None = None,
        input_size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_input(model, checkpoint, input_size, mean, std)
        if loss not in ("cross_entropy", "bce"):
            raise ValueError(
                f"Expected the loss cross_entropy or bce, received '{loss}'."
            )
        file = _beside(model) if labels is None else Path(labels)
        self.names = {} if file is None else read_labels(file)
        self.file_content = self.names if labels is not None else None
        self.target = None if target is None else find_class(target, self.names)
        self.loss = loss
        self.source = (model, checkpoint)
        self.input_size = input_size
        self.statistics = (mean, std)
        self.count = 0
        self.loaded = False

    @override
    def load(self, device: torch.device | str = "cpu") -> None:
        fresh = not self.loaded
        if fresh:
            self._load_network()
        self.to(device)
        if fresh:
            self._check_classes()

    @override
    def check(self, generations: Sequence[Generation]) -> None:
        for target in self.classes(generations):
            if self.loaded:  # the number of classes is unknown before
                check_class(target, self.count)

    def classes(self, generations: Sequence[Generation]) -> list[int]:
        """Return the index of each generation's class.

        Raises:
            ValueError: a generation has no class, or one that is not among the labels.
        """
        found = []
        for generation in generations:
            target = self.target
            if generation.target is not None:
                target = find_class(generation.target, self.names)
            if target is None:
                raise ValueError(
                    "Expected a target class, received none for the prompt "
                    f"'{generation.prompt}'; set model.guide.init_args.target, or "
                    "give the prompts in a file with the column class."
                )
            found.append(target)
        return found

    @override
    def prepare(self, generations: Sequence[Generation]) -> dict[str, Tensor]:
        device = self._loaded().mean.device
        self.check(generations)
        return {"class": torch.tensor(self.classes(generations), device=device)}

    @override
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        logits, classes = self.logits(pixels), targets["class"]
        if self.loss == "cross_entropy":
            return F.cross_entropy(logits, classes, reduction="none")
        truth = F.one_hot(classes, logits.shape[1]).to(logits)
        losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return losses.mean(dim=1)

    @override
    def score(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the probabilities (N,) of the class (with `bce`, its sigmoid)."""
        logits = self.logits(pixels)
        ce = self.loss == "cross_entropy"
        chances = logits.softmax(dim=1) if ce else logits.sigmoid()
        return chances.gather(1, targets["class"][:, None])[:, 0]

    def logits(self, pixels: Tensor) -> Tensor:
        """Return logits (N, C), in float32 or more.

        Args:
            pixels: (N, 3, input_size, input_size) in [0, 1].

        Raises:
            ValueError: the pixels have another shape.
        """
        size = self._loaded().input_size
        if pixels.shape[1:] != (3, size, size):
            raise ValueError(
                f"Expected pixels (N, 3, {size}, {size}) for this classifier, "
                f"received {tuple(pixels.shape)}; resize them first."
            )
        normalised = (pixels - self.mean) / self.std
        weight = next(self.network.parameters(), normalised)
        logits = self.network(normalised.to(weight.dtype))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _load_network(self) -> None:
        model, checkpoint = self.source
        mean, std = self.statistics
        if isinstance(model, str):
            from doodl.pretrained import load_classifier

            parts = load_classifier(model, checkpoint=checkpoint)
            model, mean, std = parts.network, mean or parts.mean, std or parts.std
            self.input_size = self.input_size or parts.image_size
        self.network, self.loaded = freeze(model), True
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    @torch.no_grad()
    def _check_classes(self) -> None:
        """Compare the number of logits with labels and target, on a grey image."""
        size = self.input_size or 0
        logits = self.logits(self.mean.new_full((1, 3, size, size), 0.5))
        if logits.ndim != 2 or not logits.shape[1]:
            raise ValueError(
                f"Expected logits (N, classes), received {tuple(logits.shape)} for "
                "one image; give a network that ends in a classifier."
            )
        count = logits.shape[1]
        if self.names and len(self.names) != count:
            raise ValueError(
                f"Expected a label for each of the classifier's {count} classes, "
                f"received {len(self.names)}; give the labels it was trained with."
            )
        self.count = count
        if self.target is not None:
            check_class(self.target, count)

    def _loaded(self) -> Classifier:
        if not self.loaded:
            raise RuntimeError("The guide has no network yet; call load() first.")
        return self


def check_input(
    model: str | nn.Module,
    checkpoint: str | None,
    input_size: int | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> None:
    """Refuse arguments of `Classifier` that cannot be used.

    Raises:
        ValueError: `model` is blank, or it is a module with a checkpoint or without
            all of the input settings, or a setting is out of range.
    """
    if isinstance(model, nn.Module):
        if checkpoint is not None:
            raise ValueError(
                "Expected no checkpoint with a classifier that is a module, received "
                f"'{checkpoint}'; load it into the module."
            )
        if input_size is None or mean is None or std is None:
            raise ValueError(
                "Expected input_size, mean and std with a classifier that is a module, "
                f"received {input_size}, {mean} and {std}; give all three."
            )
    elif not model.strip():
        raise ValueError("Expected the name of a classifier, received a blank.")
    if input_size is not None and input_size < 1:
        raise ValueError(
            f"Expected an input_size of at least 1, received {input_size}."
        )
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != 3:
            raise ValueError(f"Expected a {name} of 3 channels, received {values}.")
    if std is not None and not min(std) > 0:
        raise ValueError(f"Expected a std above 0, received {std}.")


def _beside(model: str | nn.Module) -> Path | None:
    """Return the label file in the model's folder, None if there is none."""
    if isinstance(model, nn.Module):
        return None
    from doodl.pretrained import locate

    file = Path(locate(model, "config.json"), "labels.txt")
    return file if file.is_file() else None
