"""The recipe from the first step to a folder that loads, in a handful of steps."""

import json

import pytest
import torch

from doodl import pretrained
from doodl.shapes import recipe
from doodl.shapes.tokenizer import carry_embedding, make_tokenizer


def test_carried_embeddings_keep_known_tokens_and_spell_new_ones():
    tokenizer = make_tokenizer()
    small = make_tokenizer()
    vocabulary = small.get_vocab()
    old = torch.randn(len(vocabulary), 3, dtype=torch.float64)
    same = carry_embedding(old, small, tokenizer)
    assert torch.equal(same, old)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_part_trains_ships_and_goes_on_from_what_ships(tmp_path, monkeypatch):
    recipe.train(tmp_path / "first", scale=0.001)
    monkeypatch.setattr(recipe, "SHAPES", tmp_path / "ships")
    monkeypatch.setattr(pretrained, "SHAPES", tmp_path / "ships")
    recipe.install(tmp_path / "first")
    model = pretrained.TextToImage.load("shapes")
    assert model.latent_shape() == (4, 16, 16)
    pretrained.load_clip("shapes/guide")
    pretrained.load_timm("shapes/attributes")
    recipe.train(tmp_path / "second", scale=0.001, improve=True)
    index = tmp_path / "second" / "weights" / "pipeline" / "model_index.json"
    assert json.loads(index.read_text())["_class_name"] == "StableDiffusionPipeline"
