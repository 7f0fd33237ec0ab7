"""Refuses weights and words that a checkpoint lacks.

transformers would draw weights at random, and tokenize every word alike.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from torch import nn

WORDS = ("red", "sky", "the", "dog", "one")
"""Words of equal length, of which a tokenizer with a vocabulary tells some apart."""
KEY = re.compile(r"^(\S+)\s*\|\s*MISSING|\['([^']+)'", re.MULTILINE)
"""A missing weight, as transformers 5 or 4 report it."""


def complete(read: Callable[[], Any]) -> Any:
    """Return what a function reads, if it found every weight and the words.

    Args:
        read: returns a pipeline of diffusers, or a network of transformers.

    Raises:
        ValueError: naming a network and a weight that is missing, or a tokenizer.
    """
    reports: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        text = re.sub(r"\x1b\[\d*m", "", record.getMessage())
        incomplete = "newly initialized" in text
        reports.extend([text] if incomplete else [])
        return not incomplete and record.levelno >= shown

    logger = logging.getLogger("transformers.modeling_utils")
    level, shown = logger.level, logger.getEffectiveLevel()
    logger.addFilter(collect)
    logger.setLevel(logging.WARNING - 1)  # from WARNING on transformers tells more
    try:
        found = read()
    finally:
        logger.removeFilter(collect)
        logger.setLevel(level)
    for text in reports:
        match = KEY.search(text)
        key = next(filter(None, match.groups()), "") if match else ""
        _refuse(text.removeprefix("Some weights of ").split()[0], key)
    parts = {} if isinstance(found, nn.Module) else found.components
    for name, part in parts.items():
        weights = part.named_parameters() if isinstance(part, nn.Module) else ()
        for key, weight in weights:
            if weight.is_meta:  # diffusers leaves it without content
                _refuse(name, key)
        if name.startswith("tokenizer") and part is not None:
            refuse_wordless(part, name)
    return found


def refuse_wordless(tokenizer: Any, name: str = "tokenizer") -> None:
    """Refuse a tokenizer that has lost its vocabulary.

    Args:
        tokenizer: of transformers or open_clip, or a processor that holds one.
        name: for the error message.

    Raises:
        ValueError: it tells no words apart.
    """
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    if len({tuple(inner.encode(word)) for word in WORDS}) == 1:
        raise ValueError(
            f"its {name} tells no words apart, since a file of its vocabulary is "
            "missing; download or save the model again."
        )


def reason(error: BaseException) -> str:
    """Return the text of a library's exception on one line, without a long end."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def _refuse(network: str, key: str) -> None:
    raise ValueError(
        f"its {network} lacks the weight {key}; download or save the model again."
    )
