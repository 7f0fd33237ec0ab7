"""A generation: one picture to be made, from one prompt and one seed."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Generation:
    """One picture to be made.

    Attributes:
        prompt: what the model is asked for.
        seed: of the initial noise, of the crops and of the optimiser's noise.
        negative_prompt: what the model is led away from.
        guide_prompt: what a text guide is asked for, if not the prompt.
        target: the class that a classifier is asked for, if not its own: a name or a
            number as text.
        image: path of the picture that an image guide is asked for, if not its own, or
            that an edit begins with.
        name: what the user calls it, in place of the prompt's words in `id`.
    """

    prompt: str
    seed: int
    negative_prompt: str = ""
    guide_prompt: str | None = None
    target: str | None = None
    image: str | None = None
    name: str | None = None

    @property
    def id(self) -> str:
        """A file name for it, readable and different wherever any field is.

        Example: `a-green-heart-above-a-red-ring-s0-1b2c3d4e`.
        """
        content = json.dumps(astuple(self)).encode()
        digest = hashlib.blake2b(content, digest_size=4).hexdigest()
        return f"{_slug(self.name or self.prompt)}-s{self.seed}-{digest}"


def _slug(text: str, length: int = 48) -> str:
    """Lower-case letters and digits joined by hyphens; accents are dropped."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return words[:length].rstrip("-") or "prompt"
