"""Human preference: a CLIP that was trained on what people chose."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import override

from doodl.guides.clip import CLIPText


class Preference(CLIPText):
    """Minus the reward of a CLIP-shaped reward model: its scale times the cosine.

    Args:
        model: name or folder of the reward, as
            `transformers:yuvalkirstain/PickScore_v1` or
            `ViT-H-14:HPS_v2.1_compressed.pt`, a file in open_clip's layout.
        guide_prompt: text that all pictures are guided to, if not their own prompts.

    References:
        Kirstain et al., Pick-a-Pic, arXiv 2305.01569; Wu et al., Human Preference
        Score v2, arXiv 2306.09341.
    """

    @override
    def forward(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return -self.score(pixels, targets)

    @override
    def score(self, pixels: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """The reward, (N,)."""
        return self._loaded().scale * super().score(pixels, targets)
