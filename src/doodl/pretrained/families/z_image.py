"""Z-Image and Z-Image Turbo."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from doodl.pretrained.families.flow import EvenFlow
from doodl.pretrained.families.texts import chat_tokens, halves, pad, without_data

TOKENS = 512
"""Tokens that the text encoder reads, the default of diffusers' pipeline."""


class ZImage(EvenFlow):
    """Z-Image: a transformer that takes lists of latents and of texts.

    Its time runs from 0 for noise to 1, and its output is the negative velocity. The
    guidance of its pipeline,  f_c + g (f_c - f_u),  is that of  w = g + 1  here.

    References:
        Tongyi Lab, Z-Image, arXiv 2511.22699.
    """

    @override
    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        lengths = conditioning["text_mask"].bool().sum(dim=1).tolist()
        texts = zip(conditioning["texts"], lengths, strict=True)
        prediction = self.denoiser(
            list(z.unsqueeze(2)),
            1 - timestep / 1000,
            [text[:length] for text, length in texts],
            return_dict=False,
        )[0]
        return -torch.stack(prediction).squeeze(2)

    @override
    def encode_prompts(
        self, prompts: list[str], negative_prompts: list[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        if self.device.type == "meta":
            width = self.denoiser.config.cap_feat_dim
            texts = without_data(2 * len(prompts), TOKENS, width)
        else:
            texts, _ = self.pipeline.encode_prompt(
                prompts + negative_prompts, self.device, False
            )
        joined, _ = pad(texts)
        # In main memory, so that no call waits for a device to learn the lengths.
        _, mask = pad([torch.ones(len(text), 1) for text in texts])
        return halves({"texts": joined, "text_mask": mask})

    @override
    def native(self) -> tuple[int, int, int]:
        return self.denoiser.in_channels, 1024 // self.factor, 2

    @override
    def few_steps(self, num_steps: int) -> bool:
        # The Turbo model makes images in 8 or 9 steps; nothing else tells it apart.
        return num_steps <= 9

    @override
    def token_limit(self, encoder: str, tokenizer: Any) -> int:
        return TOKENS - chat_tokens(tokenizer)
