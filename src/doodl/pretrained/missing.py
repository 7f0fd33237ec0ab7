"""Refuses weights that a checkpoint lacks; transformers would draw them at random."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from torch import nn

KEY = re.compile(r"^(\S+)\s*\|\s*MISSING|\['([^']+)'", re.MULTILINE)
"""A missing weight, as transformers 5 or 4 report it."""


def complete(read: Callable[[], Any]) -> Any:
    """Return the pipeline that a function reads, if it found every weight.

    Args:
        read: returns a pipeline of diffusers.

    Raises:
        ValueError: naming a network and a weight that is missing.
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
        pipeline = read()
    finally:
        logger.removeFilter(collect)
        logger.setLevel(level)
    for text in reports:
        found = KEY.search(text)
        key = next(filter(None, found.groups()), "") if found else ""
        _refuse(text.removeprefix("Some weights of ").split()[0], key)
    for name, part in pipeline.components.items():
        weights = part.named_parameters() if isinstance(part, nn.Module) else ()
        for key, weight in weights:
            if weight.is_meta:  # diffusers leaves it without content
                _refuse(name, key)
    return pipeline


def _refuse(network: str, key: str) -> None:
    raise ValueError(
        f"its {network} lacks the weight {key}; download or save the model again."
    )
