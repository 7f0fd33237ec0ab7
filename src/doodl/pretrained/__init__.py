"""Loads frozen networks: the only place that knows diffusers, open_clip and timm."""

from doodl.pretrained.classifier import ImageClassifier, load_classifier, load_timm
from doodl.pretrained.clip import Clip, load_clip, locate_clip
from doodl.pretrained.folders import SHAPES, locate
from doodl.pretrained.loading import Loading, check_source
from doodl.pretrained.text_to_image import TextToImage
from doodl.pretrained.texts import cut_tail, warn_of_cut

__all__ = [
    "SHAPES",
    "Clip",
    "ImageClassifier",
    "Loading",
    "TextToImage",
    "check_source",
    "cut_tail",
    "load_classifier",
    "load_clip",
    "load_timm",
    "locate",
    "locate_clip",
    "warn_of_cut",
]

CheckpointSource = Loading
load_text_to_image = TextToImage.load
