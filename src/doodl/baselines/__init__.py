"""Other ways to a picture that satisfies the guide, for comparison."""

from doodl.baselines.base import Baseline, Original
from doodl.baselines.best_of_n import BestOfN
from doodl.baselines.one_step import OneStep

__all__ = ["Baseline", "BestOfN", "OneStep", "Original"]
