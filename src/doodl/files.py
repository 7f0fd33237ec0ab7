"""Where files lie, and how they get there: whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PICTURES = Path(__file__).parent / "shapes" / "pictures"
"""Pictures of the embedded world, which `shapes/NAME.png` names."""


def located(path: str | os.PathLike[str]) -> Path:
    """Return where a picture lies; a file of one's own goes before a packaged one."""
    path = Path(path)
    packaged = PICTURES / path.name
    if path.parent == Path("shapes") and not path.exists() and packaged.is_file():
        return packaged
    return path


def write(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
