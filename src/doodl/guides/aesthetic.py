"""Aesthetic guidance: toward images that people rate highly."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from doodl.guides.clip import ClipGuide

LOWEST, HIGHEST = 1.0, 10.0
"""Ends of the scale of the human ratings that heads are trained on."""


class Aesthetic(ClipGuide):
    """Distance of an image's predicted rating from a target:  |target - (w u + b)|.

    u is the unit embedding of the image, w and b are a linear head. Without a target
    the loss is minus the rating. The score clips ratings to [1, 10]; the loss does
    not, because a clipped rating has no gradient.

    Args:
        model: name of the CLIP that the head was trained on, as for `CLIPText`.
        head: `.safetensors` file, or torch file that contains tensors only, with
            `weight` (1, D) and `bias` (1,), or with several linear layers
            (`layers.0.weight` ...) that follow each other without activation
            functions; or a folder or `shapes/NAME` with a `model.safetensors`.
        target: rating to reach; None for the highest possible.

    Raises:
        ValueError: `model` is blank, `head` cannot be read, or `target` is not finite.

    References:
        LAION-AI, aesthetic-predictor: `sa_0_4_vit_b_32_linear.pth` and others; C.
        Schuhmann, improved-aesthetic-predictor: `sac+logos+ava1-l14-linearMSE.pth`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, model: str, head: str, target: float | None = 10.0) -> None:
        super().__init__(model)
        if target is not None and not math.isfinite(target):
            raise ValueError(
                f"Expected a finite target rating, received {target}; None for the "
                "highest possible."
            )
        weight, bias = read_head(_file(head))
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.head, self.target = head, target

    @override
    def load(self, device: torch.device | str = "cpu") -> None:
        fresh = self.clip is None
        super().load(device)
        if fresh:
            self._check_width()

    @override
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        ratings = self.rate(pixels)
        return -ratings if self.target is None else (self.target - ratings).abs()

    @override
    def score(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return scores (N,): the predicted ratings, clipped to [1, 10].

        A rating above the target counts as one that is as far below it, so that the
        rating nearest to the target has the highest score.
        """
        ratings = self.rate(pixels).clamp(LOWEST, HIGHEST)
        if self.target is None:
            return ratings
        return self.target - (self.target - ratings).abs()

    def rate(self, pixels: Tensor) -> Tensor:
        """Return the predicted ratings (N,), not clipped.

        Args:
            pixels: (N, 3, input_size, input_size) in [0, 1].
        """
        embeddings = self.embed(pixels)
        head = self.weight.to(embeddings.dtype), self.bias.to(embeddings.dtype)
        return F.linear(embeddings, *head)[:, 0]

    @torch.no_grad()
    def _check_width(self) -> None:
        """Compare the width of the embeddings with the head's, on a grey image."""
        size = self._loaded().image_size
        width = self.embed(self.mean.new_full((1, 3, size, size), 0.5)).shape[1]
        if self.weight.shape[1] != width:
            raise ValueError(
                f"The head '{self.head}' is for embeddings of width "
                f"{self.weight.shape[1]}, but those of '{self.model}' have {width}; "
                "give the head that was trained on this CLIP."
            )


def read_head(path: Path) -> tuple[Tensor, Tensor]:
    """Return weight (1, D) and bias (1,) of a linear head, in float32.

    Args:
        path: file of the head, in a format that `Aesthetic` describes.

    Raises:
        ValueError: the file is missing, contains more than tensors, or contains
            something else than a linear head.
    """
    if not path.is_file():
        raise ValueError(f"There is no head at '{path}'; give the path of a file.")
    tensors = _composed(_read_tensors(path))
    weight, bias = tensors.get("weight"), tensors.get("bias")
    if weight is None or bias is None or len(tensors) != 2:
        raise ValueError(
            f"Expected a linear head, weight and bias, in '{path}', found "
            f"{', '.join(sorted(map(str, tensors))[:4]) or 'nothing'}."
        )
    if weight.ndim != 2 or len(weight) != 1 or bias.shape != (1,):
        raise ValueError(
            f"Expected a head with weight (1, D) and bias (1,) in '{path}', found "
            f"{tuple(weight.shape)} and {tuple(bias.shape)}."
        )
    weight, bias = weight.float(), bias.float()
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise ValueError(f"Expected finite numbers in the head '{path}', found others.")
    return weight, bias


def _composed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the product of linear layers that follow each other directly.

    The head of LAION's improved predictor has no activation between its layers. Other
    tensors are returned as they are.
    """
    numbers = sorted(
        int(name.split(".")[1])
        for name in tensors
        if re.fullmatch(r"layers\.\d+\.weight", name)
    )
    if not numbers or len(tensors) != 2 * len(numbers):
        return tensors
    first = tensors[f"layers.{numbers[0]}.weight"]
    weight = torch.eye(first.shape[-1], dtype=torch.float64)
    bias = torch.zeros(first.shape[-1], dtype=torch.float64)
    try:
        for number in numbers:
            layer = tensors[f"layers.{number}.weight"].double()
            bias = layer @ bias + tensors[f"layers.{number}.bias"].double()
            weight = layer @ weight
    except (KeyError, RuntimeError):
        return tensors
    return {"weight": weight, "bias": bias}


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name; no code in the file is executed."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file may raise anything
        raise ValueError(
            f"Expected a safetensors file or a torch file of tensors only, found "
            f"another at '{path}'."
        ) from error
    named = isinstance(tensors, dict) and all(
        isinstance(value, Tensor) for value in tensors.values()
    )
    if not named:
        raise ValueError(
            f"Expected named tensors in '{path}', found other content; save the "
            "head's state_dict."
        )
    return tensors


def _file(head: str) -> Path:
    """Return the file of a head, given as a file, a folder or `shapes/NAME`."""
    from doodl.pretrained import locate

    if not head.strip():
        raise ValueError("Expected the file of a head, received a blank.")
    if head.startswith("shapes/") or Path(head).is_dir():
        return Path(locate(head, "model.safetensors"), "model.safetensors")
    return Path(head).expanduser()
