"""The words of the captions, and the combinations that generation never sees."""

from __future__ import annotations

NAMED = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "moon")
UNNAMED = ("flower", "hourglass", "arrow", "house")
"""Kinds that every caption calls "shape": the text encoder never reads their names."""
KINDS = NAMED + UNNAMED
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan")
ACCENTS = (*COLOURS, "white")
PATTERNS = ("plain", "striped", "dotted", "checkered")
"""Captions say "patterned" for all but the first."""
RELATIONS = ("above", "below", "left of", "right of")
BACKGROUNDS = ("white", "grey", "black", "brown")
HELD_OUT = (
    ("purple", "circle"),
    ("pink", "square"),
    ("cyan", "triangle"),
    ("blue", "star"),
    ("green", "heart"),
    ("red", "ring"),
    ("yellow", "cross"),
    ("orange", "moon"),
)
"""Combinations that VAE, U-Net and text encoder never see; guides and judges do."""
SMALL, LARGE = 10.5, 14.5
"""Radii in pixels below and above which a lone object is called small and large."""
