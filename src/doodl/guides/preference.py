"""Human preference: a CLIP that was trained on choices between images."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import override

from doodl.guides.clip import CLIPText


class Preference(CLIPText):
    """Minus the reward of a CLIP-based reward model:  -scale cos(image, text).

    Args:
        model: reward model, as `transformers:yuvalkirstain/PickScore_v1` or
            `ViT-H-14:HPS_v2.1_compressed.pt`, a weights file in open_clip's format.
        guide_prompt: text for all generations without a guide prompt of their own; by
            default each has its prompt.

    Raises:
        ValueError: `model` or `guide_prompt` is blank.

    References:
        Kirstain et al., Pick-a-Pic, arXiv 2305.01569; Wu et al., Human Preference
        Score v2, arXiv 2306.09341.
    """

    @override
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return minus the rewards (N,)."""
        return -self.score(pixels, targets)

    @override
    def score(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the rewards (N,): the network's own scale times the cosine."""
        return self._loaded().scale * super().score(pixels, targets)
