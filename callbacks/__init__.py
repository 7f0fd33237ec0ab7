"""Callbacks that watch and steer a batch of generations."""

from .animation import Animation
from .early_stopping import EarlyStopping
from .image_logger import ImageLogger
from .multicrop import Multicrop
from .progress import Progress
from .results import Results

__all__ = [
    "Animation",
    "EarlyStopping",
    "ImageLogger",
    "Multicrop",
    "Progress",
    "Results",
]
