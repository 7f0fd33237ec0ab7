"""Guides: losses on pixels, of frozen networks or as plain formulas."""

from doodl.guides.aesthetic import Aesthetic
from doodl.guides.base import Function, Guide
from doodl.guides.classifier import Classifier
from doodl.guides.clip import CLIPText
from doodl.guides.clip_image import CLIPImage
from doodl.guides.ensemble import Ensemble
from doodl.guides.preference import Preference
from doodl.guides.symmetry import Symmetry

__all__ = [
    "Aesthetic",
    "CLIPImage",
    "CLIPText",
    "Classifier",
    "Ensemble",
    "Function",
    "Guide",
    "Preference",
    "Symmetry",
]
