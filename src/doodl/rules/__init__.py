"""Rules: an update of the latents as a stated sequence of small transforms.

| gradient | move | latents |
|---|---|---|
| `Scale`, `Tie` | `Descend` | `Noise` |
| `Clip`, `Whiten`, `Normalize` | | `Average` |
| `Momentum` | | `Renormalize` |

Those of the first column change the step, one of the second takes it, those of the
third change the latents afterwards; `LatentOptimizer` runs them. A rule lists any of
the first and the third, in any order within a column: `LatentSGD` has `Clip` between
`Tie` and `Momentum`, `configs/fast.yaml` has `Whiten`, `Clip` and `Normalize` there.
"""

from doodl.rules.base import Transform, Update
from doodl.rules.gradient import Clip, Normalize, Scale, Tie, Whiten
from doodl.rules.memory import Momentum
from doodl.rules.move import Average, Descend, Noise, Renormalize
from doodl.rules.optimizer import LatentOptimizer

__all__ = [
    "Average",
    "Clip",
    "Descend",
    "LatentOptimizer",
    "Momentum",
    "Noise",
    "Normalize",
    "Renormalize",
    "Scale",
    "Tie",
    "Transform",
    "Update",
    "Whiten",
]
