"""The chain from noise to a latent: schedule, denoiser, coupling, adjoint, sampler."""
