"""Loads frozen networks, for which diffusers, open_clip and timm are imported here."""

from doodl.pretrained.borrowing import Pipeline, borrowed
from doodl.pretrained.classifier import ImageClassifier, load_classifier, load_timm
from doodl.pretrained.clip import Clip, load_clip, locate_clip
from doodl.pretrained.folders import SHAPES, locate
from doodl.pretrained.loading import (
    CheckpointSource,
    check_source,
    load_text_to_image,
)
from doodl.pretrained.models import models_table
from doodl.pretrained.text_to_image import LatentShape, TextToImage
from doodl.pretrained.texts import TextInput, cut_tail, warn_of_cuts

__all__ = [
    "SHAPES",
    "CheckpointSource",
    "Clip",
    "ImageClassifier",
    "LatentShape",
    "Pipeline",
    "TextInput",
    "TextToImage",
    "borrowed",
    "check_source",
    "cut_tail",
    "load_classifier",
    "load_clip",
    "load_text_to_image",
    "load_timm",
    "locate",
    "locate_clip",
    "models_table",
    "warn_of_cuts",
]
