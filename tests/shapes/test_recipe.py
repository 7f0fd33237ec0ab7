"""The recipe from the first step to a folder that loads, in a handful of steps."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from doodl import pretrained
from doodl.guides import Aesthetic, CLIPText
from doodl.shapes import classifier, evaluate, fine, recipe
from doodl.shapes.goals import GOALS
from doodl.shapes.tokenizer import carry_embedding, make_tokenizer


def test_carried_embeddings_keep_known_tokens_and_spell_new_ones():
    tokenizer = make_tokenizer()
    small = make_tokenizer()
    vocabulary = small.get_vocab()
    old = torch.randn(len(vocabulary), 3, dtype=torch.float64)
    same = carry_embedding(old, small, tokenizer)
    assert torch.equal(same, old)


@pytest.fixture
def ships(tmp_path, monkeypatch):
    """An empty place for what ships."""
    folder = tmp_path / "ships"
    for module in (recipe, pretrained.folders, evaluate):
        monkeypatch.setattr(module, "SHAPES", folder)
    return folder


def test_guide_and_head_of_a_folder_load_as_what_they_are(tmp_path, ships):
    recipe.train(tmp_path, ("guide_c", "guide", "aesthetic"), scale=0.0005)
    recipe.install(tmp_path)
    CLIPText("shapes/guide_c").load()
    Aesthetic("shapes/guide", "shapes/aesthetic").load()


def test_improving_starts_from_what_ships_and_else_from_nothing(tmp_path, ships):
    # One step: the warm-up's first rate is 0, so weights are saved as they started.
    recipe.train(tmp_path / "first", ("fine",), scale=1e-4, improve=True)
    start = load_file(tmp_path / "first" / "weights" / "fine" / "model.safetensors")
    seeded = dict(fine.FineTraining("fine", steps=1).network.half().named_parameters())
    assert all(torch.equal(start[name], seeded[name]) for name in seeded)

    torch.manual_seed(1)
    other = fine.CLASSIFIERS["fine"].make()
    fine.save_classifier(other, ships / "fine")
    recipe.train(tmp_path / "second", ("fine",), scale=1e-4, improve=True)
    went_on = load_file(tmp_path / "second" / "weights" / "fine" / "model.safetensors")
    shipped = dict(other.half().named_parameters())
    assert all(torch.equal(went_on[name], shipped[name]) for name in shipped)
    assert not all(torch.equal(went_on[name], seeded[name]) for name in shipped)


def test_the_attribute_judges_configuration_is_the_one_that_ships():
    shipped = pretrained.SHAPES / "attributes" / "config.json"
    assert json.loads(shipped.read_text()) == classifier.judge_config()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_part_trains_ships_and_goes_on_from_what_ships(tmp_path, ships):
    recipe.train(tmp_path / "first", scale=0.001)
    recipe.install(tmp_path / "first")
    model = pretrained.load_text_to_image("shapes")
    assert model.latent_shape() == (4, 16, 16)
    figures = evaluate.evaluate(count=2)
    assert figures.keys() >= GOALS.keys()
    assert all(math.isfinite(figure) for figure in figures.values())
    recipe.train(tmp_path / "second", scale=0.001, improve=True)
    index = tmp_path / "second" / "weights" / "pipeline" / "model_index.json"
    assert json.loads(index.read_text())["_class_name"] == "StableDiffusionPipeline"
