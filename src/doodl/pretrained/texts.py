"""What a tokenizer reads of a text, and what it cuts off."""

from __future__ import annotations

import warnings
from typing import Any


def cut_tail(tokenizer: Any, text: str, limit: int | None = None) -> str:
    """Return the words that a tokenizer's limit cuts off the end, or nothing."""
    limit = limit or tokenizer.model_max_length
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokens = tokenizer.encode(text)
    special = 2 if hasattr(tokenizer, "bos_token_id") else 0
    kept = limit - 2
    inner = tokens[1:-1] if special else tokens
    return tokenizer.decode(inner[kept:]).strip() if len(inner) > kept else ""


def warn_of_cut(text: str, tail: str) -> None:
    """Warn that the end of a prompt is not read."""
    if tail:
        warnings.warn(
            f"The prompt '{text}' is longer than the tokenizer allows: "
            f"'{tail}' is not read.",
            stacklevel=2,
        )
