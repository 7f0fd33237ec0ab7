"""Texts of language models: joined though of different lengths, and in a template."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def pad(texts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Join texts of different lengths; the mask is 1 where there is text, else 0.

    Args:
        texts: N tensors (L_i, D).

    Returns:
        (N, L, D) with zeros after each text; the mask (N, L), of floating point.
    """
    joined = pad_sequence(texts, batch_first=True)
    mask = [torch.ones_like(text[:, 0]) for text in texts]
    return joined, pad_sequence(mask, batch_first=True)


def without_data(count: int, tokens: int, width: int) -> list[Tensor]:
    """Return texts (L, D) on `meta`, in place of those of an outline's encoder.

    A language model on `meta` cannot look into its mask.
    """
    return [torch.empty(tokens, width, device="meta") for _ in range(count)]


def halves(both: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the first and the second B of tensors with leading dimension 2 B."""
    parts = {name: value.chunk(2) for name, value in both.items()}
    first, second = ({name: two[i] for name, two in parts.items()} for i in range(2))
    return first, second


def chat_tokens(reader: Any, conversation: list[Any] | None = None) -> int:
    """Return the number of tokens that a chat template puts before a prompt.

    Args:
        reader: a tokenizer or a processor of transformers, with a chat template.
        conversation: one whose prompt is `PROMPT`; by default it is all of it.
    """
    conversation = conversation or [{"role": "user", "content": "PROMPT"}]
    text = reader.apply_chat_template(conversation, tokenize=False)
    tokenizer = getattr(reader, "tokenizer", reader)
    before = text.partition("PROMPT")[0]
    return len(tokenizer.encode(before, add_special_tokens=False))
