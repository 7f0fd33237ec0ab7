"""Baselines: other methods that sample pictures under the same guide."""

from doodl.baselines.base import Baseline, Original
from doodl.baselines.best_of_n import BestOfN
from doodl.baselines.one_step import OneStep

__all__ = ["Baseline", "BestOfN", "OneStep", "Original"]
