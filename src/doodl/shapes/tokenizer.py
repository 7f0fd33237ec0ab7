"""The shapes world's vocabulary: a byte-level BPE that knows the captions' words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from doodl.shapes.words import BACKGROUNDS, COLOURS, NAMED, RELATIONS

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CONTEXT = 20
"""Tokens of a caption, start and end included."""


def make_tokenizer() -> CLIPTokenizer:
    """Return a CLIP tokenizer whose merges spell the words of the captions.

    Every word of a caption is one token, and any other text is cut into bytes, so
    every prompt has tokens. Padding is token 0, which leaves the end token the largest
    number of a caption, and the only one.
    """
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    words = {"a", "an", "on", "and", "shape", "patterned", "small", "large"}
    words |= {"background", *COLOURS, *NAMED, *BACKGROUNDS}
    words |= {word for relation in RELATIONS for word in relation.split()}
    merges = _merges(sorted(words))

    letters = list(bytes_to_unicode().values())
    symbols = [*letters, *(letter + "</w>" for letter in letters)]
    symbols += ["".join(merge) for merge in merges]
    vocabulary = {symbol: i for i, symbol in enumerate(dict.fromkeys(symbols))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token="!", model_max_length=CONTEXT
    )


def tokenize(tokenizer: Any, captions: list[str]) -> Tensor:
    """Return token numbers (N, 20), longer captions cut."""
    return tokenizer(
        captions, padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids


def carry_embedding(
    old: Tensor, old_tokenizer: CLIPTokenizer, new_tokenizer: CLIPTokenizer
) -> Tensor:
    """Return token embeddings (M, D) for a new vocabulary from those (N, D) of an old.

    A token that both know keeps its row, a new one gets the mean of its old spelling.
    """
    known, rows = old_tokenizer.get_vocab(), []
    for token, _ in sorted(new_tokenizer.get_vocab().items(), key=lambda item: item[1]):
        word = token.removesuffix("</w>")
        spelling = old_tokenizer(word, add_special_tokens=False).input_ids
        numbers = [known[token]] if token in known else spelling
        rows.append(old[numbers].mean(dim=0))
    return torch.stack(rows)


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Return merges, the first ones first, after which every word is one token.

    A word gets the merges that those of the words before it do not yet make. Later
    merges never come before earlier ones, so the words before it stay whole.
    """
    merges: list[tuple[str, str]] = []
    for word in words:
        parts = _spell(word, merges)
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = _spell(word, merges)
    return merges


def _spell(word: str, merges: list[tuple[str, str]]) -> list[str]:
    """Return a word's tokens: the earliest merge that fits, until none does."""
    parts = [*word[:-1], word[-1] + "</w>"]
    while True:
        pairs = set(zip(parts, parts[1:], strict=False))
        merge = next((m for m in merges if m in pairs), None)
        if merge is None:
            return parts
        at = next(i for i in range(len(parts)) if tuple(parts[i : i + 2]) == merge)
        parts[at : at + 2] = ["".join(merge)]
