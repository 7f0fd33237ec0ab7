"""Callbacks that observe and influence the optimisation of a batch of generations."""

from .animation import Animation
from .base import GenerationCallback
from .early_stopping import EarlyStopping
from .image_logger import ImageLogger
from .multicrop import Multicrop
from .progress import Progress
from .results import Results
from .safety_checker import SafetyChecker

__all__ = [
    "Animation",
    "EarlyStopping",
    "GenerationCallback",
    "ImageLogger",
    "Multicrop",
    "Progress",
    "Results",
    "SafetyChecker",
]
