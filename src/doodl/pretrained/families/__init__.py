"""Families of text-to-image models, by the diffusers pipeline that loads them."""

from typing import Any

from packaging.version import Version
from torch import nn

from doodl.pretrained.families.flux import Flux
from doodl.pretrained.families.flux_2 import Flux2
from doodl.pretrained.families.qwen_image import QwenImage
from doodl.pretrained.families.sana import Sana
from doodl.pretrained.families.stable_diffusion import StableDiffusion
from doodl.pretrained.families.stable_diffusion_3 import StableDiffusion3
from doodl.pretrained.families.stable_diffusion_xl import StableDiffusionXL
from doodl.pretrained.families.z_image import ZImage
from doodl.pretrained.text_to_image import TextToImage

FAMILIES: dict[str, type[TextToImage]] = {
    "StableDiffusionPipeline": StableDiffusion,
    "LatentConsistencyModelPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "FluxPipeline": Flux,
    "Flux2Pipeline": Flux2,
    "Flux2KleinPipeline": Flux2,
    "QwenImagePipeline": QwenImage,
    "ZImagePipeline": ZImage,
    "SanaPipeline": Sana,
}
"""The family of each supported pipeline class of diffusers."""

UNSUPPORTED = {
    "SanaSprintPipeline": "which adds fresh noise after each of its few steps, so that "
    "no chain leads from one initial latent to the picture",
    "StableCascadeCombinedPipeline": "whose picture comes out of two chains of latents",
    "Flux2KleinKVPipeline": "which reuses the reference pictures' attention of the "
    "first step in later ones, so that steps are no functions of the latent alone",
}
"""Why chains of further pipelines cannot be coupled."""


SINCE = {
    "QwenImagePipeline": "0.40",
    "ZImagePipeline": "0.40",
    "Flux2Pipeline": "0.37",
    "Flux2KleinPipeline": "0.37",
}
"""The first version of diffusers whose pipeline takes what is given to it here."""


def pipeline_class(kind: str) -> Any:
    """Return a pipeline's class.

    Raises:
        ValueError: this version of diffusers does not have it, or an older one that
            takes other inputs.
    """
    import diffusers

    since = SINCE.get(kind, "0")
    old = Version(diffusers.__version__) < Version(since)
    if old or not hasattr(diffusers, kind):
        wanted = f"{since} or newer for" if old else "with"
        raise ValueError(
            f"Expected a diffusers {wanted} {kind}, found version "
            f"{diffusers.__version__}; install a newer one."
        )
    return getattr(diffusers, kind)


def family_of_object(pipeline: object) -> type[TextToImage]:
    """Return the family of a pipeline that is loaded already.

    Raises:
        ValueError: it is no pipeline, its family is not supported, or a network's
            weights are stored in float8, through which no gradient goes.
    """
    kinds = [kind.__name__ for kind in type(pipeline).__mro__]
    known = next((kind for kind in kinds if kind in FAMILIES), None)
    if known is None:
        reason = f", {UNSUPPORTED[kinds[0]]}" if kinds[0] in UNSUPPORTED else ""
        raise ValueError(
            f"Expected a model's name or a pipeline of {', '.join(FAMILIES)}, received "
            f"a {kinds[0]}{reason}; load a model with one of these classes."
        )
    for name, part in getattr(pipeline, "components", {}).items():
        weights = part.parameters() if isinstance(part, nn.Module) else ()
        stored = {w.dtype for w in weights if w.is_floating_point()}
        stored = {dtype for dtype in stored if dtype.itemsize == 1}
        if stored:
            raise ValueError(
                f"Expected weights in 16 or 32 bits, received {stored.pop()} in the "
                f"pipeline's {name}; load it without enable_layerwise_casting."
            )
    return FAMILIES[known]


__all__ = [
    "FAMILIES",
    "UNSUPPORTED",
    "Flux",
    "Flux2",
    "QwenImage",
    "Sana",
    "StableDiffusion",
    "StableDiffusion3",
    "StableDiffusionXL",
    "ZImage",
    "family_of_object",
    "pipeline_class",
]
