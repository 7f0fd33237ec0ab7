"""The work of one update: chain, decoder, and a guide on 16 crops of both images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.functional import normalize

from doodl import latents as pairs
from doodl.execution import Execution, picture_by_picture
from doodl.guides import cutouts
from doodl.guides.clip import spherical_distance
from doodl.images import to_pixels
from doodl.pretrained import load_clip, load_text_to_image
from doodl.sampling.adjoints import Adjoint
from doodl.sampling.denoiser import Conditioning, GuidedDenoiser
from doodl.sampling.edict import EDICT
from doodl.sampling.sampler import Sampler
from doodl.sampling.schedule import Schedule

STABLE_DIFFUSION = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
}


@dataclass
class Networks:
    """Frozen networks and their inputs.

    Args:
        unet: `unet(z, timesteps, encoder_hidden_states=text)`.
        vae: the decoder's autoencoder.
        clip: CLIP with `encode_image` for pictures of `clip_size`.
        clip_size: side of the guide's input in pixels.
        cutout_size: smallest side of a crop.
        schedule: noise schedule.
        text: (2, L, D) encodings of the negative and of the positive prompt.
        shape: (C, h, w) of a latent.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    clip: nn.Module
    clip_size: int
    cutout_size: int
    schedule: Schedule
    text: Tensor
    shape: tuple[int, int, int]

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """The networks that one update calls."""
        return self.unet, self.vae, self.clip

    @property
    def weights(self) -> list[Tensor]:
        """All parameters of these networks."""
        return [w for part in self.parts for w in part.parameters()]

    def network(self, z: Tensor, timesteps: Tensor, **told: Tensor) -> Tensor:
        """Return the raw prediction."""
        return self.unet(z, timesteps, return_dict=False, **told)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Return images of latents, approximately in [-1, 1]."""
        scaled = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        return self.vae.decode(scaled, return_dict=False)[0].to(latents.dtype)


def load(
    name: str, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Networks:
    """Return the networks of a model folder with the shapes world's guide, or random.

    Args:
        name: `sd14` or `tiny` for random weights of Stable Diffusion 1.4's
            architecture, at its own size or very small; or what `--model.pretrained`
            takes.
        device: device of the networks.
        dtype: dtype of their weights.
    """
    if name in ("sd14", "tiny"):
        found = _random(small=name == "tiny")
    else:
        model, clip = load_text_to_image(name), load_clip("shapes/guide")
        told = model.conditioning(["a green heart above a red ring"], [""])
        found = Networks(
            model.denoiser,
            model.vae,
            clip.network,
            clip.image_size,
            40,
            model.schedule(model.latent_shape()),
            told.both["encoder_hidden_states"],
            model.latent_shape(),
        )
    for part in found.parts:
        part.requires_grad_(False).eval().to(device, dtype)
    found.text = found.text.to(device, dtype)
    return found


def _random(*, small: bool) -> Networks:
    import open_clip

    torch.manual_seed(0)
    channels = (32, 64, 64, 64) if small else (320, 640, 1280, 1280)
    width, size = (32, 8) if small else (768, 64)
    unet = UNet2DConditionModel(
        sample_size=size, block_out_channels=channels, cross_attention_dim=width
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32,) * 4 if small else (128, 256, 512, 512),
        layers_per_block=2,
        sample_size=8 * size,
    )
    if small:
        vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8}
        language = {"width": 64, "heads": 2, "layers": 1}
        clip = open_clip.CLIP(64, vision, language)
    else:
        clip = open_clip.create_model("ViT-L-14")
    side = 32 if small else 224
    schedule = Schedule.from_config(STABLE_DIFFUSION)
    text = torch.randn(2, 77, width)
    shape = (4, size, size)
    return Networks(unet, vae, clip, side, side, schedule, text, shape)


class Workload:
    """One update of B generations.

    Args:
        networks: networks, frozen or not.
        batch: number of generations B.
        scale: guidance scale.
        mixing: EDICT's p.
    """

    def __init__(
        self, networks: Networks, batch: int, scale: float = 5.0, mixing: float = 0.75
    ) -> None:
        self.networks, self.batch = networks, batch
        self.scale, self.mixing = scale, mixing
        text = networks.text
        negative, positive = text[:, None].expand(2, batch, *text.shape[1:])
        self.conditioning = Conditioning(
            {"encoder_hidden_states": positive}, {"encoder_hidden_states": negative}
        )
        draw = pairs.draw(range(batch), networks.shape).to(text.device)
        self.latents = torch.stack((draw, draw)).requires_grad_()
        with torch.no_grad():
            side, generator = networks.clip_size, torch.Generator().manual_seed(0)
            picture = torch.rand(1, 3, side, side, generator=generator)
            features = networks.clip.encode_image(picture.to(text)).float()
            self.target = normalize(features, dim=1)

    def sampler(self, steps: int, adjoint: Adjoint | None = None) -> Sampler:
        """Return our chain of T steps."""
        denoiser = GuidedDenoiser(self.networks.network, self.scale, self.dtype)
        method = EDICT(self.mixing)
        schedule = self.networks.schedule
        return Sampler(schedule, denoiser, method, adjoint, num_steps=steps)

    @property
    def dtype(self) -> torch.dtype:
        """The networks' precision."""
        return self.networks.text.dtype

    def update(self, sampler: Sampler) -> None:
        """Take the gradient of the loss with respect to the latents."""
        self.loss(sampler.sample(self.latents, self.conditioning)).backward()

    def loss(self, final: Tensor) -> Tensor:
        """Decode the pair, look at 16 crops of each image, and sum the losses."""
        return self.look(final.flatten(0, 1)).sum()

    def look(self, latents: Tensor) -> Tensor:
        """Return each image's loss (2B,), as the module does: one by one if large."""
        _, rows, columns = self.networks.shape
        index = torch.arange(len(latents))
        inputs = latents, index
        if Execution().apart(latents.device, 64 * rows * columns):
            return picture_by_picture(self.distances, *inputs)[0]
        return self.distances(*inputs)[0]

    def distances(self, latents: Tensor, index: Tensor) -> tuple[Tensor]:
        """Return the losses (N,) of the images of latents (N, C, h, w)."""
        networks = self.networks
        crops = cutouts.cutout(
            to_pixels(networks.decode(latents)),
            networks.clip_size,
            [pairs.stream(k, "crops", 0) for k in index.tolist()],
            cutout_size=networks.cutout_size,
        )
        normalised = (crops.flatten(0, 1) - 0.5) / 0.27
        features = networks.clip.encode_image(normalised.to(self.dtype)).float()
        features = normalize(features, dim=1)
        losses = spherical_distance(features, self.target)
        return (losses.unflatten(0, (-1, 16)).mean(1),)
