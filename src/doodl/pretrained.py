"""Loads frozen networks: the only place that knows diffusers, open_clip and timm."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from doodl.sampling.denoiser import Conditioning
from doodl.sampling.schedule import Schedule

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SHAPES = Path(__file__).parent / "shapes" / "weights"
"""The embedded world: `shapes` names its pipeline, `shapes/NAME` its other networks."""

PARTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
"""Folders of a Stable Diffusion pipeline that this package needs."""


def locate(name: str, marker: str) -> str:
    """Return the folder that a name stands for, or the name itself for a hub id.

    Args:
        name: `shapes`, `shapes/NAME`, a local folder, or a hub id.
        marker: a file that such a folder holds, as `model_index.json`.

    Raises:
        ValueError: when the name looks like a folder but is not a fitting one.
    """
    if name == "shapes" or name.startswith("shapes/"):
        folder = SHAPES / (name.partition("/")[2] or "pipeline")
        if not (folder / marker).is_file():
            known = sorted(p.name for p in SHAPES.iterdir() if p.is_dir())
            raise ValueError(
                f"The shapes world has no network '{name}'; choose one of "
                f"{', '.join(f'shapes/{n}' for n in known)}."
            )
        return str(folder)
    path = Path(name).expanduser()
    local = path.exists() or name.count("/") > 1 or name.startswith((".", "/", "~"))
    if local and not (path / marker).is_file():
        raise ValueError(
            f"Expected a folder with a {marker} at '{name}', found "
            f"{'none there' if path.is_dir() else 'no such folder'}; "
            "give a folder saved with save_pretrained, or a hub id as 'owner/name'."
        )
    return str(path) if local else name


class TextToImage:
    """A diffusers text-to-image model as the parts that the method needs.

    All networks are frozen and in eval mode; none is registered anywhere.

    Args:
        pipeline: a Stable Diffusion pipeline with a U-Net.
        device: where the networks live.
    """

    def __init__(
        self, pipeline: StableDiffusionPipeline, device: torch.device | str = "cpu"
    ) -> None:
        # diffusers' own networks come in float32, transformers' as they were saved.
        pipeline.text_encoder.float()
        self.pipeline = pipeline.to(device)
        self.vae, self.unet = pipeline.vae, pipeline.unet
        for part in (self.vae, self.unet, pipeline.text_encoder):
            part.requires_grad_(False).eval()
        self.schedule = Schedule.from_config(pipeline.scheduler.config)

    @classmethod
    def load(cls, name: str, device: torch.device | str = "cpu") -> TextToImage:
        """Load a pipeline by hub id, folder or as `shapes`.

        Raises:
            ValueError: when there is no such pipeline, or it is of another kind.
        """
        from diffusers import StableDiffusionPipeline
        from diffusers.utils import logging as diffusers_logging
        from transformers.utils import logging as transformers_logging

        source = locate(name, "model_index.json")
        check_family(source)
        diffusers_logging.disable_progress_bar()
        transformers_logging.disable_progress_bar()
        try:
            pipeline = StableDiffusionPipeline.from_pretrained(
                source, safety_checker=None
            )
        except OSError as error:
            raise ValueError(
                f"Could not load '{name}' as a diffusers text-to-image model: "
                f"{str(error).splitlines()[0]}"
            ) from error
        return cls(pipeline, device)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the networks."""
        return self.unet.dtype

    def network(self, z: Tensor, timestep: Tensor, **conditioning: Tensor) -> Tensor:
        """Return the raw prediction (N, C, h, w) for latents z (N, C, h, w)."""
        return self.unet(z, timestep, return_dict=False, **conditioning)[0]

    def latent_shape(
        self, height: int | None = None, width: int | None = None
    ) -> tuple[int, int, int]:
        """Return (C, h, w) of one latent, by default of the model's own image size.

        Raises:
            ValueError: when a side is not a multiple of the VAE's factor.
        """
        factor = self.pipeline.vae_scale_factor
        # The U-Net halves the latent's sides between its levels.
        step = factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        native = self.unet.config.sample_size * factor
        height = native if height is None else height
        width = native if width is None else width
        for name, side in (("height", height), ("width", width)):
            if side % step or side <= 0:
                raise ValueError(
                    f"Expected a {name} that is a multiple of {step} px for this "
                    f"model, received {side}; try {max(step, side // step * step)}."
                )
        return self.unet.config.in_channels, height // factor, width // factor

    @torch.no_grad()
    def conditioning(
        self, prompts: Sequence[str], negative_prompts: Sequence[str]
    ) -> Conditioning:
        """Return what the network is told, for one batch of generations.

        A prompt beyond the tokenizer's limit is cut, with a warning that quotes what
        is lost.
        """
        for text in dict.fromkeys([*prompts, *negative_prompts]):
            warn_of_cut(text, cut_tail(self.pipeline.tokenizer, text))
        positive, negative = self.pipeline.encode_prompt(
            list(prompts),
            self.pipeline.device,
            1,
            True,
            negative_prompt=list(negative_prompts),
        )
        return Conditioning(
            positive={"encoder_hidden_states": positive},
            negative={"encoder_hidden_states": negative},
        )

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return latents (N, C, h, w), the posterior's mean, of images (N, 3, H, W)."""
        posterior = self.vae.encode(images.to(self.vae.dtype)).latent_dist
        return posterior.mean.to(images.dtype) * self.vae.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Return images (N, 3, H, W), about in [-1, 1], of latents (N, C, h, w)."""
        scaled = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        return self.vae.decode(scaled, return_dict=False)[0].to(latents.dtype)


@dataclass(frozen=True)
class Clip:
    """A frozen CLIP as a guide needs it.

    Args:
        network: has `encode_image` and `encode_text`.
        tokenizer: text to token numbers, padded and cut to the context.
        image_size: side of the square picture it takes.
        mean: of its input's channels, for pixels in [0, 1].
        std: likewise.
        limit: longest text that is not cut, in tokens.
    """

    network: nn.Module
    tokenizer: Any
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    context_length: int

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return embeddings (N, D) of normalised pixels (N, 3, s, s)."""
        return self.network.encode_image(pixels)  # type: ignore[operator]

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Return embeddings (N, D) of tokens (N, L)."""
        return self.network.encode_text(tokens)  # type: ignore[operator]

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return token numbers (N, L)."""
        return self.tokenizer(list(texts))

    def cut(self, text: str) -> str:
        """Return the end of a text that is beyond the context, or nothing."""
        inner = getattr(self.tokenizer, "tokenizer", self.tokenizer)
        return cut_tail(inner, text, self.context_length)


def load_clip(name: str, device: torch.device | str = "cpu") -> Clip:
    """Load a CLIP through open_clip's factory.

    Args:
        name: `shapes/guide`, a folder in open_clip's layout, a hub id as
            `hf-hub:owner/name`, or `ARCHITECTURE:PRETRAINED` as
            `ViT-B-32:laion2b_s34b_b79k`.
        device: where the network lives.

    Raises:
        ValueError: when there is no such CLIP.
    """
    import open_clip

    source, pretrained = locate_clip(name)
    try:
        network = open_clip.create_model(source, pretrained=pretrained, device=device)
        tokenizer = open_clip.get_tokenizer(source)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"Could not load '{name}' with open_clip: {str(error).splitlines()[0]}"
        ) from error
    size = network.visual.image_size
    preprocess = open_clip.get_model_preprocess_cfg(network)
    return Clip(
        network=network.requires_grad_(False).eval(),
        tokenizer=tokenizer,
        image_size=size if isinstance(size, int) else size[0],
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        context_length=network.context_length,
    )


def locate_clip(name: str) -> tuple[str, str | None]:
    """Return open_clip's model name and its tag of pretrained weights.

    Raises:
        ValueError: when the name is none of those that `load_clip` takes.
    """
    if name.startswith("hf-hub:"):
        return name, None
    if ":" in name and not name.startswith("local-dir:"):
        architecture, _, tag = name.partition(":")
        return architecture, tag
    folder = locate(name.removeprefix("local-dir:"), "open_clip_config.json")
    if not Path(folder).is_dir():
        raise ValueError(
            f"Expected a CLIP as a folder, 'hf-hub:owner/name' or "
            f"'ARCHITECTURE:PRETRAINED', received '{name}'."
        )
    return f"local-dir:{folder}", None


def load_timm(name: str, device: torch.device | str = "cpu") -> nn.Module:
    """Load a timm classifier, frozen: `shapes/NAME`, a folder, or timm's own name.

    Raises:
        ValueError: when there is no such classifier.
    """
    import timm

    source = locate(name, "config.json")
    local = Path(source).is_dir()
    try:
        network = timm.create_model(
            f"local-dir:{source}" if local else source, pretrained=True
        )
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"Could not load '{name}' with timm: {str(error).splitlines()[0]}"
        ) from error
    return network.requires_grad_(False).eval().to(device)


def check_family(source: str) -> None:
    """Refuse a local pipeline that is not a whole Stable Diffusion with one U-Net.

    Raises:
        ValueError: with the family that was found, or the part that was not.
    """
    index = Path(source) / "model_index.json"
    if not index.is_file():
        return
    try:
        family = json.loads(index.read_text())["_class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"Could not read the pipeline's index {index}.") from error
    if family != "StableDiffusionPipeline":
        raise ValueError(
            f"Expected a StableDiffusionPipeline at '{source}', found a {family}, "
            "which is not supported yet."
        )
    # Without its folder, transformers would make a tokenizer that knows no word.
    missing = [part for part in PARTS if not (Path(source) / part).is_dir()]
    if missing:
        raise ValueError(
            f"Expected a folder for each part of the pipeline at '{source}', found "
            f"none for {', '.join(missing)}; download or save it again."
        )


def cut_tail(tokenizer: Any, text: str, limit: int | None = None) -> str:  # noqa: ANN401
    """Return the words that a tokenizer's limit cuts off the end, or nothing."""
    limit = limit or tokenizer.model_max_length
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokens = tokenizer.encode(text)
    special = 2 if hasattr(tokenizer, "bos_token_id") else 0
    kept = limit - 2
    inner = tokens[1:-1] if special else tokens
    return tokenizer.decode(inner[kept:]).strip() if len(inner) > kept else ""


def warn_of_cut(text: str, tail: str) -> None:
    """Warn that the end of a prompt is not read."""
    if tail:
        warnings.warn(
            f"The prompt '{text}' is longer than the tokenizer allows: "
            f"'{tail}' is not read.",
            stacklevel=2,
        )


@dataclass(frozen=True)
class ImageClassifier:
    """A frozen classifier as a guide needs it.

    Args:
        network: normalised pixels (N, 3, s, s) to logits (N, C).
        image_size: side s of the square picture it takes.
        mean: of its input's channels, for pixels in [0, 1].
        std: likewise.
    """

    network: nn.Module
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load_classifier(
    name: str, device: torch.device | str = "cpu", checkpoint: str | None = None
) -> ImageClassifier:
    """Load a timm classifier with the input of its own data config.

    Args:
        name: what `load_timm` takes; timm's name of an architecture with a checkpoint.
        device: where the network lives.
        checkpoint: file of a state dict, which also says how many classes there are.

    Raises:
        ValueError: when there is no such classifier, or it takes no square RGB picture.
    """
    from timm.data import resolve_model_data_config

    if checkpoint is None:
        network = load_timm(name, device)
    else:
        network = _load_checkpoint(name, checkpoint).to(device)
    config = resolve_model_data_config(network)
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise ValueError(
            f"Expected a classifier of square RGB pictures, '{name}' takes "
            f"{channels} channels of {height} x {width} px."
        )
    return ImageClassifier(network, height, tuple(config["mean"]), tuple(config["std"]))


def _load_checkpoint(name: str, checkpoint: str) -> nn.Module:
    """Return timm's architecture with the weights, and the classes, of a file."""
    import timm

    if not Path(checkpoint).is_file():
        raise ValueError(f"There is no checkpoint at '{checkpoint}'.")
    try:
        # Weights only: an arbitrary pickle could run any code.
        state = timm.models.load_state_dict(checkpoint, device="cpu", weights_only=True)
        bias = f"{timm.models.get_pretrained_cfg_value(name, 'classifier')}.bias"
        if bias not in state:
            raise ValueError(f"it holds no {bias}")
        network = timm.create_model(
            name, pretrained=False, num_classes=len(state[bias])
        )
        network.load_state_dict(state)
    except Exception as error:  # whatever a foreign file may raise
        raise ValueError(
            f"Could not load the checkpoint '{checkpoint}' into timm's '{name}': "
            f"{str(error).splitlines()[0]}"
        ) from error
    return network.requires_grad_(False).eval()
