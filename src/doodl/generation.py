"""A generation: one picture to make, from one prompt and one seed."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Generation:
    """One picture to make.

    Attributes:
        prompt: text prompt of the diffusion model.
        seed: seeds the initial noise, the random crops and the optimiser's noise.
        negative_prompt: text that replaces the empty prompt in classifier-free
            guidance.
        guide_prompt: text that a text guide compares the picture with; None for the
            prompt.
        target: class toward which a classifier guides, as a name or as a number in
            text; None for the classifier's own `target`.
        image: path of the reference picture of an image guide (None for the guide's
            own), or of the picture that is edited.
        name: the user's name of the generation; it replaces the prompt in `id`. Without
            both, `id` has the name of the picture.
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
        """A readable file name that differs whenever any field differs.

        Example: `a-green-heart-above-a-red-ring-s0-1b2c3d4e5f60`.
        """
        values = [getattr(self, field.name) for field in fields(self)]
        content = json.dumps(values).encode()
        digest = hashlib.blake2b(content, digest_size=6).hexdigest()
        name = self.name or self.prompt or Path(self.image or "").stem
        return f"{slug(name)}-s{self.seed}-{digest}"


def slug(text: str, length: int = 48) -> str:
    """Return a text as lower-case words of letters and digits, joined by hyphens.

    Args:
        text: any text.
        length: largest number of characters.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return words[:length].rstrip("-") or "prompt"
