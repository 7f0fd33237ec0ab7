"""The shapes world's vocabulary: a byte-level BPE that knows the captions' words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doodl.shapes.scenes import BACKGROUNDS, COLOURS, NAMED, RELATIONS

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CONTEXT = 20
"""Tokens of a caption, start and end included."""


def make_tokenizer() -> CLIPTokenizer:
    """Return a CLIP tokenizer whose merges spell the words of the captions.

    Nearly every word is one token. Any other text is cut into bytes, so every prompt
    has tokens. Padding is token 0, which leaves the end token the largest number of a
    caption, and the only one.
    """
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    words = {"a", "an", "on", "and", "shape", "patterned", "small", "large"}
    words |= {"background", *COLOURS, *NAMED, *BACKGROUNDS}
    words |= {word for relation in RELATIONS for word in relation.split()}
    merges = list(dict.fromkeys(m for w in sorted(words) for m in _merges(w)))

    letters = list(bytes_to_unicode().values())
    symbols = [*letters, *(letter + "</w>" for letter in letters)]
    symbols += ["".join(merge) for merge in merges]
    vocabulary = {symbol: i for i, symbol in enumerate(dict.fromkeys(symbols))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token="!", model_max_length=CONTEXT
    )


def _merges(word: str) -> list[tuple[str, str]]:
    """Return the merges that build a word from left to right."""
    parts = [*word[:-1], word[-1] + "</w>"]
    merges = []
    while len(parts) > 1:
        merges.append((parts[0], parts[1]))
        parts[:2] = [parts[0] + parts[1]]
    return merges
