"""What a user would do instead of optimising the latents, for comparison."""

from doodl.baselines.best_of_n import BestOfN
from doodl.baselines.one_step import OneStep

__all__ = ["BestOfN", "OneStep"]
