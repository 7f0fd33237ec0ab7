"""The architectures of the world's CLIPs, as open_clip describes them.

No two are alike: the guides are ResNets of three widths, the narrowest twice as deep;
the judge has RepVGG blocks, and the referee, a second judge, is a ConvNeXt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import nn

from doodl.shapes.arrangement import SIZE
from doodl.shapes.tokenizer import CONTEXT, make_tokenizer

MEAN = STD = (0.5, 0.5, 0.5)


def _timm(architecture: str) -> dict[str, Any]:
    """Return the image tower of timm's architecture with attention pooling."""
    return {
        "timm_model_name": architecture,
        "timm_model_pretrained": False,
        "timm_pool": "abs_attn",
        "timm_proj": "linear",
    }


@dataclass(frozen=True)
class Tower:
    """Architecture and data of one CLIP.

    Args:
        vision: open_clip's configuration of the image tower, without the size.
        width: of the text tower.
        layers: of the text tower.
        seed: of the weights, the pictures and the batches.
        quarter: of all draws, the one that the training sees.
        rates: whether the image embedding also learns to predict the renderer's
            rating, so that a linear head on it can.
    """

    vision: dict[str, Any]
    width: int
    layers: int
    seed: int
    quarter: int = 0
    rates: bool = False

    def config(self) -> dict[str, Any]:
        """Return the configuration that open_clip loads."""
        return clip_config(self.vision, width=self.width, layers=self.layers)


GUIDES = {
    "guide": Tower(
        {"layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
        128,
        2,
        seed=11,
        rates=True,
    ),
    "guide_b": Tower(
        {"layers": [1, 1, 1, 1], "width": 12, "head_width": 48}, 96, 2, seed=53
    ),
    "guide_c": Tower(
        {"layers": [2, 2, 2, 2], "width": 8, "head_width": 32}, 80, 2, seed=67
    ),
}
"""The guides by name; an ensemble weighs the first one most."""
JUDGES = {
    "judge": Tower(_timm("test_byobnet"), 112, 2, seed=29, quarter=3),
    "referee": Tower(_timm("test_convnext2"), 96, 3, seed=23, quarter=1),
}
"""The CLIPs that no guide is: figures come from the judge, choices from the referee."""
CLIPS = {**GUIDES, **JUDGES}


def clip_config(vision: dict[str, Any], *, width: int, layers: int) -> dict[str, Any]:
    """Return an open_clip configuration of a 64 px image tower and a text tower."""
    tokenizer = make_tokenizer()
    text = {
        "context_length": CONTEXT,
        "vocab_size": len(tokenizer),
        "hf_tokenizer_name": "tokenizer",
        "width": width,
        "heads": 4,
        "layers": layers,
    }
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {"image_size": SIZE, **vision},
            "text_cfg": text,
        },
        "preprocess_cfg": {"size": SIZE, "mean": list(MEAN), "std": list(STD)},
    }


def make_clip(config: dict[str, Any]) -> CLIP:
    """Return the untrained CLIP of a configuration."""
    model = config["model_cfg"]
    return CLIP(model["embed_dim"], model["vision_cfg"], model["text_cfg"])


def save_half(network: nn.Module, path: Path) -> None:
    """Write a network's weights in float16."""
    weights = {
        k: v.half().contiguous() if v.is_floating_point() else v
        for k, v in network.state_dict().items()
    }
    save_file(weights, path)


def save_clip(clip: CLIP, config: dict[str, Any], folder: Path) -> None:
    """Write a folder that open_clip loads as `local-dir:FOLDER`, in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    make_tokenizer().save_pretrained(folder)
    save_half(clip, folder / "open_clip_model.safetensors")
