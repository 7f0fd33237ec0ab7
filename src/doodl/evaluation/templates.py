"""Pages that need no other file: style, script and data stand inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import BaseLoader, Environment

SCRIPTS = {"report": ("cards", "film", "report"), "sheet": ("sheet",)}
"""Files of each page's script, in their order."""
STYLES = {"report": ("style", "report"), "sheet": ("style", "sheet")}
"""Files of each page's style."""


def render(name: str, data: Mapping[str, Any], **values: Any) -> str:
    """Return a page with its style, its script and its data inside.

    Args:
        name: of the page.
        data: what the script reads.
        values: what the template inserts.
    """
    script = "".join(_text(f"{part}.js") for part in SCRIPTS[name])
    style = "".join(_text(f"{part}.css") for part in STYLES[name])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(loader=BaseLoader(), autoescape=True)
    return environment.from_string(_text(f"{name}.html")).render(
        data=data, script=script, style=style, digest=digest, **values
    )


def _text(name: str) -> str:
    """Return a file of the folder `page`."""
    return (files("doodl.evaluation") / "page" / name).read_text(encoding="utf-8")
