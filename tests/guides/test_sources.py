"""Guides from where people have them: transformers, torchvision, reward models."""

import json

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from doodl.generation import Generation
from doodl.guides import Aesthetic, Classifier, CLIPText, Preference
from doodl.guides.aesthetic import read_head
from doodl.pretrained import load_classifier, load_clip
from doodl.shapes.tokenizer import CONTEXT, make_tokenizer

VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
GENERATIONS = [Generation("a red circle", 0), Generation("a blue star", 1)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Saves a CLIP and a SigLIP with `save_pretrained`, as people have them."""
    root, tokenizer = tmp_path_factory.mktemp("transformers"), make_tokenizer()
    language = {
        k: v for k, v in VISION.items() if k not in ("image_size", "patch_size")
    }
    language |= {"vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT}
    language |= {
        name: getattr(tokenizer, name)
        for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    kinds = {
        "clip": (transformers.CLIPConfig, transformers.CLIPModel),
        "siglip": (transformers.SiglipConfig, transformers.SiglipModel),
    }
    for name, (config, kind) in kinds.items():
        torch.manual_seed(0)
        settings = {"text_config": language, "vision_config": VISION}
        if name == "clip":
            settings["projection_dim"] = 16
        folder = root / name
        kind(config(**settings)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        processor = {
            "image_processor_type": "CLIPImageProcessor",
            "image_mean": [0.4, 0.5, 0.6],
            "image_std": [0.2, 0.2, 0.2],
            "size": {"shortest_edge": 32},
            "crop_size": {"height": 32, "width": 32},
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return root


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_clip_of_transformers_embeds_as_transformers_does(name, saved, generator):
    folder = saved / name
    clip = load_clip(str(folder))
    assert (clip.image_size, clip.context_length) == (32, CONTEXT)
    assert clip.mean == (0.4, 0.5, 0.6)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pixels = torch.rand(2, 3, 32, 32, generator=generator)
    texts = ["a red circle", "a blue star above a heart"]
    told = tokenizer(
        texts, padding="max_length", max_length=CONTEXT, return_tensors="pt"
    )
    with torch.no_grad():
        logits = model(input_ids=told.input_ids, pixel_values=pixels).logits_per_image
        image = nn.functional.normalize(clip.encode_image(pixels), dim=1)
        text = nn.functional.normalize(clip.encode_text(clip.tokenize(texts)), dim=1)
        found = clip.scale * image @ text.T
    if name == "siglip":
        logits = logits - model.logit_bias
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_it_guides_frozen(name, saved, generator):
    guide = CLIPText(str(saved / name))
    guide.load()
    assert not any(p.requires_grad for p in guide.parameters())
    pixels = torch.rand(2, 3, 32, 32, generator=generator).requires_grad_()
    guide(pixels, guide.prepare(GENERATIONS)).sum().backward()
    assert pixels.grad.abs().max() > 0


def test_a_prompt_beyond_its_context_is_quoted(saved):
    guide = CLIPText(str(saved / "clip"))
    guide.load()
    with pytest.warns(UserWarning, match="'star star' is cut"):
        guide.prepare([Generation("star " * CONTEXT, 0)])


def test_a_folder_of_another_model_is_refused(tmp_path):
    config = transformers.T5Config(
        vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2
    )
    transformers.T5EncoderModel(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="Could not load|Expected a CLIP or SigLIP"):
        load_clip(str(tmp_path))


@pytest.mark.parametrize("source", ["open_clip", "transformers"])
def test_a_preference_is_the_scaled_cosine(source, saved, shapes, generator):
    name = str(saved / "clip") if source == "transformers" else "shapes/guide"
    reward, plain = Preference(name), CLIPText(name)
    reward.load()
    plain.load()
    pixels = torch.rand(2, 3, 32, 32, generator=generator)
    targets = plain.prepare(GENERATIONS)
    expected = reward.clip.scale * plain.score(pixels, targets)
    assert torch.equal(reward.score(pixels, targets), expected)
    assert torch.equal(reward(pixels, targets), -expected)


class Improved(nn.Module):
    """The improved aesthetic predictor's head, as it was published."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 12),
            nn.Dropout(0.2),
            nn.Linear(12, 8),
            nn.Dropout(0.2),
            nn.Linear(8, 4),
            nn.Dropout(0.1),
            nn.Linear(4, 3),
            nn.Linear(3, 1),
        )


def test_the_improved_head_is_one_linear_layer(tmp_path, generator, shapes):
    head = Improved(128).eval()
    path = tmp_path / "sac+logos+ava1-l14-linearMSE.pth"
    torch.save(head.state_dict(), path)
    weight, bias = read_head(path)
    features = torch.randn(5, 128, generator=generator)
    found = features @ weight.T + bias
    torch.testing.assert_close(found, head.layers(features), rtol=1e-4, atol=1e-5)
    guide = Aesthetic("shapes/guide", str(path))
    guide.load()
    assert guide(torch.rand(1, 3, 32, 32, generator=generator), {}).shape == (1,)


def test_layers_that_do_not_fit_each_other_are_refused(tmp_path):
    state = Improved(16).state_dict()
    state["layers.2.weight"] = torch.zeros(8, 13)
    save_file(state, tmp_path / "head.safetensors")
    with pytest.raises(ValueError, match="Expected a linear head"):
        read_head(tmp_path / "head.safetensors")


def test_a_classifier_of_torchvision_takes_its_own_input(tmp_path):
    from torchvision import models

    torch.manual_seed(0)
    network = models.get_model("squeezenet1_1", weights=None)
    path = tmp_path / "squeezenet.pth"
    torch.save(network.state_dict(), path)
    found = load_classifier("torchvision:squeezenet1_1", checkpoint=str(path))
    assert found.image_size == 224
    assert found.mean == (0.485, 0.456, 0.406)
    guide = Classifier("torchvision:squeezenet1_1", 3, checkpoint=str(path))
    guide.load()
    targets = guide.prepare([Generation("a", 0)])
    assert guide(torch.rand(1, 3, 224, 224), targets).isfinite().all()


@pytest.mark.parametrize("name", ["torchvision:no_such", "torchvision:alexnet"])
def test_a_classifier_that_is_not_here_is_one_sentence(name, tmp_path):
    path = tmp_path / "empty.pth"
    torch.save({}, path)
    with pytest.raises(ValueError, match=f"Could not load '{name}' with torchvision"):
        load_classifier(name, checkpoint=str(path))
