"""Two losses of one's own: a function of pixels, and a guide that has an argument.

python examples/own_loss.py
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

import doodl
from doodl.guides import Guide

SETTINGS = {"num_steps": 20, "num_updates": 10, "guidance_scale": 5.0, "mixing": 0.75}


def brightness(pixels: Tensor) -> Tensor:
    """Return the mean brightness of pixels (B, 3, H, W) in [0, 1], as losses (B,)."""
    return pixels.mean(dim=(1, 2, 3))


class MeanColour(Guide):
    """Squared distance between a picture's mean colour and a given one.

    Args:
        colour: red, green and blue, each in [0, 1].
    """

    def __init__(self, colour: Sequence[float]) -> None:
        super().__init__()
        self.colour = list(colour)

    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the losses (N,) of pixels (N, 3, H, W) in [0, 1]."""
        difference = pixels.mean(dim=(2, 3)) - pixels.new_tensor(self.colour)
        return difference.square().sum(dim=1)


def main(folder: str = "results/own_loss", **settings: Any) -> None:
    """Write the best picture under each loss."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    losses = {"dark": brightness, "blue": MeanColour([0.0, 0.0, 1.0])}
    for name, loss in losses.items():
        (result,) = doodl.optimize(
            "shapes",
            "a red circle on a white background",
            loss,
            optimizer=partial(doodl.LatentSGD, lr=40.0, clip=0.04),
            **{**SETTINGS, **settings},
        )
        if result.first is None or result.best is None:
            raise SystemExit(f"There is no picture: {result.failure}")
        result.first.image.save(Path(folder) / "original.png")
        result.best.image.save(Path(folder) / f"{name}.png")
        print(f"{name}: {result.first.guide:.3f} -> {result.best.guide:.3f}")


if __name__ == "__main__":
    main()
