"""DOODL: end-to-end optimisation of diffusion latents."""

__version__ = "0.1.0"
