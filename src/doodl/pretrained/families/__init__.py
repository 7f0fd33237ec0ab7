"""Families of text-to-image models, by the diffusers pipeline that loads them."""

from doodl.pretrained.families.flux import Flux
from doodl.pretrained.families.stable_diffusion import StableDiffusion
from doodl.pretrained.families.stable_diffusion_3 import StableDiffusion3
from doodl.pretrained.families.stable_diffusion_xl import StableDiffusionXL
from doodl.pretrained.text_to_image import TextToImage

FAMILIES: dict[str, type[TextToImage]] = {
    "StableDiffusionPipeline": StableDiffusion,
    "LatentConsistencyModelPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "FluxPipeline": Flux,
}
"""The family of each supported pipeline class of diffusers."""

__all__ = [
    "FAMILIES",
    "Flux",
    "StableDiffusion",
    "StableDiffusion3",
    "StableDiffusionXL",
]


def family_of_object(pipeline: object) -> type[TextToImage]:
    """Return the family of a pipeline that is loaded already.

    Raises:
        ValueError: it is no pipeline, or its family is not supported.
    """
    kinds = [kind.__name__ for kind in type(pipeline).__mro__]
    known = next((kind for kind in kinds if kind in FAMILIES), None)
    if known is None:
        raise ValueError(
            f"Expected a model's name or a pipeline of {', '.join(FAMILIES)}, received "
            f"a {kinds[0]}; load the model with one of these classes."
        )
    return FAMILIES[known]
