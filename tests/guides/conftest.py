"""A CLIP of two layers, in the place of the one that guides load."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

SIZE, WIDTH, CONTEXT = 4, 6, 3


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.image = nn.Linear(3 * SIZE * SIZE, WIDTH)
        self.text = nn.EmbeddingBag(256, WIDTH)


def fake_clip(model):
    """A CLIP whose tokens are the first letters of words; its name may be a size."""
    size = int(model) if model.isdigit() else SIZE
    torch.manual_seed(size)
    network = Network().double()
    network.image = nn.Linear(3 * size * size, WIDTH).double()
    return SimpleNamespace(
        network=network,
        image_size=size,
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
        tokenize=lambda texts: torch.tensor(
            [
                [ord(w[0]) for w in (t.split() + ["_"] * CONTEXT)[:CONTEXT]]
                for t in texts
            ]
        ),
        cut=lambda text: " ".join(text.split()[CONTEXT:]),
        encode_image=lambda pixels: network.image(pixels.flatten(1).tanh()),
        encode_text=network.text,
    )


@pytest.fixture
def clips(monkeypatch):
    monkeypatch.setattr("doodl.pretrained.load_clip", fake_clip)


@pytest.fixture
def pixels(generator):
    return torch.rand(2, 3, SIZE, SIZE, generator=generator, dtype=torch.float64)
