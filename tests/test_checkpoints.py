"""The ways in which checkpoints lie about: one file, variants, the hub's cache."""

import subprocess
import sys

import pytest
import torch

import families
import single_file
from doodl.pretrained import CheckpointSource, load_text_to_image
from doodl.pretrained.outline import outline
from processes import clean_environment

LOAD = """
import sys
from doodl.pretrained import CheckpointSource, load_text_to_image
from doodl.pretrained.outline import outline
revision = sys.argv[1]
model = load_text_to_image("somebody/tiny", loading=CheckpointSource(revision=revision))
print(model.denoiser.conv_in.bias[0].item())
print(outline("somebody/tiny", loading=CheckpointSource(revision=revision)).device.type)
"""


@pytest.fixture(scope="module")
def pipeline():
    return families.build("sd1")


@pytest.fixture(scope="module")
def folder(pipeline, tmp_path_factory):
    path = tmp_path_factory.mktemp("sd1")
    pipeline.save_pretrained(path)
    return path


def weights(network):
    return {name: value.float() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_single_file_has_the_weights_of_its_folder(part, pipeline, folder, tmp_path):
    file = tmp_path / "model.safetensors"
    single_file.save(pipeline, file)
    loaded = load_text_to_image(str(file), loading=CheckpointSource(config=str(folder)))
    mine = weights(getattr(pipeline, part))
    theirs = weights(getattr(loaded.pipeline, part))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_outline_of_a_single_file_is_that_of_its_configuration(folder, tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()
    found = outline(str(file), loading=CheckpointSource(config=str(folder)))
    assert found.latent_shape() == (4, 8, 8)


def test_a_file_that_is_no_checkpoint_is_one_sentence(folder, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match=r"Could not load '.*model\.safetensors'"):
        load_text_to_image(str(file), loading=CheckpointSource(config=str(folder)))


def test_a_variant_of_the_weights_is_chosen_by_name(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path, variant="fp16")
    loaded = load_text_to_image(str(tmp_path), loading=CheckpointSource(variant="fp16"))
    mine, theirs = weights(pipeline.unet), weights(loaded.denoiser)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    with pytest.raises(ValueError, match="Could not load"):
        load_text_to_image(str(tmp_path), loading=CheckpointSource(variant="bf16"))


@pytest.mark.slow
def test_a_hub_id_is_read_from_the_cache_without_a_network(folder, tmp_path):
    # As the hub's own library lays out two revisions of one model.
    cache = tmp_path / "hub" / "models--somebody--tiny"
    biases = {}
    for name, digit in (("main", "1"), ("second", "2")):
        commit = digit * 40
        snapshot = cache / "snapshots" / commit
        changed = families.build("sd1")
        biases[name] = float(digit)
        torch.nn.init.constant_(changed.unet.conv_in.bias, biases[name])
        changed.save_pretrained(snapshot)
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / name).write_text(commit)
    for name, bias in biases.items():
        job = subprocess.run(
            [sys.executable, "-c", LOAD, name],
            env=clean_environment(HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert job.returncode == 0, job.stderr
        assert job.stdout.split() == [str(bias), "meta"]


@pytest.fixture
def lora(folder, tmp_path):
    """A LoRA of every query in the U-Net's attention, with weights that matter."""
    peft = pytest.importorskip("peft")
    copy = families.build("sd1")
    settings = {"r": 2, "lora_alpha": 2, "target_modules": ["to_q"]}
    copy.unet.add_adapter(peft.LoraConfig(**settings, init_lora_weights="gaussian"))
    for name, value in copy.unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(value, 0.1)
    layers = peft.get_peft_model_state_dict(copy.unet)
    copy.save_lora_weights(tmp_path / "lora", unet_lora_layers=layers)
    return tmp_path / "lora", layers


def test_a_lora_is_added_to_the_weights_it_names(folder, lora, pipeline):
    file, layers = lora
    loaded = load_text_to_image(str(folder), loading=CheckpointSource(lora=[str(file)]))
    before, after = pipeline.unet.state_dict(), loaded.denoiser.state_dict()
    changed = 0
    for name, value in before.items():
        key = name.removesuffix(".weight")
        expected = value
        if f"{key}.lora_A.weight" in layers:
            down, up = (layers[f"{key}.lora_{which}.weight"] for which in "AB")
            expected = value + up @ down
            changed += 1
        torch.testing.assert_close(after[name], expected)
    assert changed
    assert not any(
        parameter.requires_grad for parameter in loaded.denoiser.parameters()
    )


def test_a_lora_that_is_not_there_is_one_sentence(folder, tmp_path):
    loading = CheckpointSource(lora=[str(tmp_path / "gone")])
    with pytest.raises(ValueError, match="There is no LoRA at"):
        load_text_to_image(str(folder), loading=loading)
