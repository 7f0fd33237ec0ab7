"""Texts: the part of a prompt that each text encoder reads, and the part it cuts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 10**6
"""Larger limits of a tokenizer mean that it has none."""


@dataclass(frozen=True)
class TextInput:
    """The input of one text encoder.

    Args:
        encoder: name of the encoder in the pipeline, as `text_encoder_2`.
        tokenizer: the encoder's tokenizer, of transformers.
        limit: number of tokens that the encoder reads, special tokens included.
    """

    encoder: str
    tokenizer: Any
    limit: int


def longest(tokenizer: Any, encoder: str) -> int:
    """Return the number of tokens that a tokenizer of transformers is made for.

    Args:
        tokenizer: of transformers.
        encoder: name of its text encoder, for the error message.

    Raises:
        ValueError: the tokenizer does not say.
    """
    limit = tokenizer.model_max_length
    if limit > MOST_TOKENS:  # what transformers gives for none
        raise ValueError(
            f"Expected model_max_length in tokenizer_config.json of the {encoder}'s "
            "tokenizer, received none; add the number of tokens that it reads, such "
            "as 77."
        )
    return limit


def cut_tail(tokenizer: Any, text: str, limit: int) -> str:
    """Return the end of a text that does not fit into `limit` tokens, or `""`.

    Args:
        tokenizer: of transformers, or open_clip's `SimpleTokenizer`.
        text: a prompt.
        limit: number of tokens that are read, special tokens included.
    """
    if hasattr(tokenizer, "num_special_tokens_to_add"):
        special = tokenizer.num_special_tokens_to_add()
        # Not verbose: transformers would log that the text is too long for the model.
        tokens = tokenizer.encode(text, add_special_tokens=False, verbose=False)
    else:  # open_clip's own: it encodes without its begin and end tokens
        special, tokens = 2, tokenizer.encode(text)
    kept = limit - special
    return tokenizer.decode(tokens[kept:]).strip() if len(tokens) > kept else ""


def warn_of_cuts(text: str, inputs: Sequence[TextInput]) -> None:
    """Warn if a text encoder cuts a prompt: name the encoder and quote the cut part.

    The warning also names the encoders that read the whole prompt.

    Args:
        text: a prompt.
        inputs: inputs of all text encoders of a model.
    """
    cuts: dict[tuple[int, str], list[str]] = {}
    complete = []
    for part in inputs:
        tail = cut_tail(part.tokenizer, text, part.limit)
        if tail:
            cuts.setdefault((part.limit, tail), []).append(part.encoder)
        else:
            complete.append(part.encoder)
    if not cuts:
        return
    lost = "; ".join(
        f"{' and '.join(names)} ({limit} tokens) cut{'s' * (len(names) == 1)} '{tail}'"
        for (limit, tail), names in cuts.items()
    )
    read = ""
    if complete:
        verb = "reads" if len(complete) == 1 else "read"
        read = f"; {' and '.join(complete)} {verb} all of it"
    which = "some of the text encoders" if complete else "the text encoders"
    warnings.warn(
        f"The prompt '{text}' is longer than {which} read: {lost}{read}.",
        stacklevel=2,
    )
