"""DOODL: end-to-end optimisation of diffusion latents.

`doodl.optimize` is the shortest way: it takes a pipeline, prompts and a loss. The other
names are the parts that it is made of. Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from doodl.version import __version__

if TYPE_CHECKING:
    from doodl.generation import Generation
    from doodl.guided_generation import GuidedGeneration
    from doodl.jobs.data import PromptsAndSeeds
    from doodl.optimization import Result, optimize
    from doodl.optimizer import LatentSGD
    from doodl.render_settings import RenderSettings
    from doodl.rendering import Renderer

__all__ = [
    "Generation",
    "GuidedGeneration",
    "LatentSGD",
    "PromptsAndSeeds",
    "RenderSettings",
    "Renderer",
    "Result",
    "__version__",
    "optimize",
]
_HOMES = {
    "Generation": "doodl.generation",
    "GuidedGeneration": "doodl.guided_generation",
    "LatentSGD": "doodl.optimizer",
    "PromptsAndSeeds": "doodl.jobs.data",
    "RenderSettings": "doodl.render_settings",
    "Renderer": "doodl.rendering",
    "Result": "doodl.optimization",
    "optimize": "doodl.optimization",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'doodl' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
