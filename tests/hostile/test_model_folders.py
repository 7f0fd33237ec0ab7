"""Damaged model folders: what was looked for and found, and never a pickle."""

import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from doodl.pretrained import load_text_to_image
from doodl.pretrained.clip import load_clip

TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
TOWER |= {"num_attention_heads": 2}
PICTURE = {"image_size": 16, "patch_size": 8}
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(world, tmp_path):
    return shutil.copytree(world / "pipeline", tmp_path / "pipeline")


def truncated(folder):
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[: len(data) // 2])


def empty(folder):
    (folder / UNET).write_bytes(b"")


def corrupt(folder):
    (folder / UNET).write_bytes(b"\xff" * 1000)


def missing(folder):
    (folder / UNET).unlink()


def other_shapes(folder):
    tensors = load_file(folder / UNET)
    tensors = {name: torch.zeros(*t.shape, 2) for name, t in tensors.items()}
    save_file(tensors, folder / UNET)


def without(folder, name, part):
    tensors = load_file(folder / name)
    tensors.pop(next(key for key in tensors if part in key))
    save_file(tensors, folder / name, metadata={"format": "pt"})


def text_encoder_lacks_a_weight(folder):
    without(folder, "text_encoder/model.safetensors", "fc1.weight")


def unet_lacks_a_weight(folder):
    without(folder, UNET, "conv_in.weight")


def file_for_a_folder(folder):
    shutil.rmtree(folder / "vae")
    (folder / "vae").write_text("")


def no_tokenizer(folder):
    shutil.rmtree(folder / "tokenizer")
    (folder / "tokenizer").mkdir()


def no_vocabulary(folder):
    (folder / "tokenizer" / "tokenizer.json").unlink()


def no_token_limit(folder):
    path = folder / "tokenizer" / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["model_max_length"]
    path.write_text(json.dumps(config))


def other_class(folder):
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["diffusers", "NoSuchNetwork"]
    (folder / "model_index.json").write_text(json.dumps(index))


def broken_config(folder):
    (folder / "unet" / "config.json").write_text("{")


def broken_index(folder):
    (folder / "model_index.json").write_text("[]")


class Code:
    def __reduce__(self):
        return os.mkdir, ("code-ran",)


def only_pickles(folder):
    (folder / UNET).unlink()
    with (folder / "unet" / "diffusion_pytorch_model.bin").open("wb") as file:
        pickle.dump(Code(), file)


DAMAGES = [truncated, empty, corrupt, missing, other_shapes, file_for_a_folder]
DAMAGES += [text_encoder_lacks_a_weight, unet_lacks_a_weight]
DAMAGES += [
    no_tokenizer,
    no_vocabulary,
    other_class,
    broken_config,
    broken_index,
    only_pickles,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda value: value.__name__)
def test_a_damaged_model_folder_is_a_sentence(folder, monkeypatch, tmp_path, damage):
    monkeypatch.chdir(tmp_path)
    damage(folder)
    with pytest.raises(ValueError, match=r"pipeline|model") as error:
        load_text_to_image(str(folder))
    assert "\n" not in str(error.value)
    if "lacks" in damage.__name__:
        assert "lacks the weight" in str(error.value)
    assert not (tmp_path / "code-ran").exists()


def test_a_tokenizer_without_a_limit_is_a_sentence(folder):
    no_token_limit(folder)
    model = load_text_to_image(str(folder))
    with pytest.raises(ValueError, match=r"model_max_length .*text_encoder's token"):
        model.text_inputs()


# CLIPs --------------------------------------------------------------------------------

WEIGHTS = "open_clip_model.safetensors"


def clip_is_gone(folder):
    (folder / WEIGHTS).unlink()


def clip_is_a_pipe(folder):
    clip_is_gone(folder)
    os.mkfifo(folder / WEIGHTS)


def clip_is_truncated(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000])


def clip_lacks_a_weight(folder):
    without(folder, WEIGHTS, "visual")


def clip_has_no_vocabulary(folder):
    (folder / "tokenizer.json").unlink()


CLIPS = {
    clip_is_gone: "Expected a file of weights in the folder .* found none",
    clip_is_a_pipe: "Expected weights at .* found a pipe",
    clip_is_truncated: "with open_clip: .*header",
    clip_lacks_a_weight: r"Missing key\(s\) in state_dict: \"visual",
    clip_has_no_vocabulary: "its tokenizer tells no words apart",
}


@pytest.mark.parametrize("damage", CLIPS, ids=lambda value: value.__name__)
def test_a_damaged_clip_is_a_sentence(world, tmp_path, damage):
    folder = shutil.copytree(world / "guide", tmp_path / "guide")
    damage(folder)
    with pytest.raises(ValueError, match=CLIPS[damage]) as error:
        load_clip(str(folder))
    assert "\n" not in str(error.value)


def test_a_clip_of_transformers_without_a_weight_is_a_sentence(world, tmp_path):
    text, vision = ({**TOWER, **more} for more in ({"vocab_size": 90}, PICTURE))
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    CLIPModel(config).save_pretrained(tmp_path)
    without(tmp_path, "model.safetensors", "text_projection")
    with pytest.raises(ValueError, match="CLIPModel lacks the weight text_projection"):
        load_clip(f"transformers:{tmp_path}")
