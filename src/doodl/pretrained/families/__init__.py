"""Families of text-to-image models, by the diffusers pipeline that loads them."""

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

__all__ = [
    "FAMILIES",
    "Flux",
    "Flux2",
    "QwenImage",
    "Sana",
    "StableDiffusion",
    "StableDiffusion3",
    "StableDiffusionXL",
    "ZImage",
]
