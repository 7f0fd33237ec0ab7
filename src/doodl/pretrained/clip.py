"""Loads CLIP and SigLIP networks, from open_clip or transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from doodl.files import readable
from doodl.pretrained.folders import locate
from doodl.pretrained.missing import complete, reason, refuse_wordless
from doodl.pretrained.texts import cut_tail

WEIGHTS = ("*.safetensors", "*.bin", "*.pth")
"""Names of the files in which open_clip looks for weights."""


@dataclass(frozen=True)
class Clip:
    """A frozen CLIP and the format of its inputs.

    Args:
        network: has the methods `encode_image` and `encode_text`.
        tokenizer: maps a list of N texts to token ids (N, L), padded or cut to the
            context length L.
        image_size: side of the square input image, in pixels.
        mean: mean of each channel, subtracted from pixels in [0, 1].
        std: standard deviation of each channel, by which the result is divided.
        context_length: number of tokens that are read, special tokens included.
    """

    network: nn.Module
    tokenizer: Any
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    context_length: int

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return embeddings (N, D) of any length, of normalised pixels (N, 3, s, s)."""
        return self.network.encode_image(pixels)  # type: ignore[operator]

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Return embeddings (N, D) of any length, of token ids (N, L)."""
        return self.network.encode_text(tokens)  # type: ignore[operator]

    @property
    def scale(self) -> Tensor:
        """The factor of cosine similarities in the network's logits, 0-dimensional."""
        return self.network.logit_scale.exp()  # type: ignore[operator, union-attr]

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return token ids (N, L) of N texts."""
        return self.tokenizer(list(texts))

    def cut(self, text: str) -> str:
        """Return the end of a text that exceeds the context length, or `""`."""
        inner = getattr(self.tokenizer, "tokenizer", self.tokenizer)
        return cut_tail(inner, text, self.context_length)


def load_clip(name: str, device: torch.device | str = "cpu") -> Clip:
    """Load a CLIP or SigLIP, frozen and in eval mode.

    Args:
        name: a network of this package, as `shapes/guide`; a folder in the layout of
            open_clip or transformers; a hub id, as `hf-hub:owner/name` for open_clip
            or `transformers:owner/name`; or `ARCHITECTURE:PRETRAINED` for open_clip,
            as `ViT-B-32:laion2b_s34b_b79k`, where PRETRAINED may be a weights file.
        device: device of the network.

    Raises:
        ValueError: there is no such CLIP, or it cannot be read.
    """
    import open_clip

    folder = Path(name.removeprefix("transformers:")).expanduser()
    if name.startswith("transformers:") or (folder / "config.json").is_file():
        return _load_transformers(name, device)
    source, pretrained = locate_clip(name)
    try:
        network = open_clip.create_model(source, pretrained=pretrained, device=device)
        tokenizer = open_clip.get_tokenizer(source)
        refuse_wordless(tokenizer)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"Could not load '{name}' with open_clip: {reason(error)}"
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
    """Return open_clip's model name, and its tag or file of pretrained weights.

    Args:
        name: name of the CLIP, as `load_clip` takes it for open_clip.

    Returns:
        model name; tag or file, None where the model name implies the weights.

    Raises:
        ValueError: the name has none of these forms.
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
    # Without a file of weights open_clip would draw them at random.
    files = [file for kind in WEIGHTS for file in sorted(Path(folder).glob(kind))]
    if not files:
        raise ValueError(
            f"Expected a file of weights in the folder '{name}', such as "
            "open_clip_model.safetensors, found none; download or save it again."
        )
    for file in files:
        readable(file, "weights", most=2**50)
    return f"local-dir:{folder}", None


class _Transformers(nn.Module):
    """Gives a CLIP of transformers the method names of open_clip."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    @property
    def logit_scale(self) -> Tensor:
        return self.network.logit_scale.squeeze()

    def encode_image(self, pixels: Tensor) -> Tensor:
        return _features(self.network.get_image_features(pixel_values=pixels))

    def encode_text(self, tokens: Tensor) -> Tensor:
        return _features(self.network.get_text_features(input_ids=tokens))


def _features(found: Any) -> Tensor:
    """Return the embeddings; transformers 5 wraps them in an output object."""
    return found if isinstance(found, Tensor) else found.pooler_output


def _load_transformers(name: str, device: torch.device | str) -> Clip:
    """Load a checkpoint of transformers' `CLIPModel` or `SiglipModel`."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    source = locate(name.removeprefix("transformers:"), "config.json")
    try:
        read = partial(AutoModel.from_pretrained, source, use_safetensors=True)
        network = complete(read).float()
        tokenizer = AutoTokenizer.from_pretrained(source)
        refuse_wordless(tokenizer)
        processor = AutoImageProcessor.from_pretrained(source)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"Could not load '{name}' with transformers: {reason(error)}"
        ) from error
    if not hasattr(network, "get_image_features"):
        raise ValueError(
            f"Expected a CLIP or SigLIP at '{name}', found a {type(network).__name__}."
        )
    limit = network.config.text_config.max_position_embeddings

    def tokenize(texts: list[str]) -> Tensor:
        return tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=limit,
            return_tensors="pt",
        ).input_ids

    tokenize.tokenizer = tokenizer  # type: ignore[attr-defined]
    return Clip(
        network=_Transformers(network).requires_grad_(False).eval().to(device),
        tokenizer=tokenize,
        image_size=network.config.vision_config.image_size,
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        context_length=limit,
    )
