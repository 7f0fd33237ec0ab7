"""The texts in a picture, read with the rules of the programs that read them."""

import json
import re

import pytest
import torch
from PIL import Image

from doodl.generation import Generation
from doodl.images import save
from doodl.jobs.picture_text import picture_texts
from doodl.trajectory import Snapshot

SETTINGS = {
    "model": {
        "pretrained": "C:\\models, mine",
        "num_steps": 20,
        "guidance_scale": 7.5,
        "method": {"class_path": "doodl.sampling.edict.EDICT", "init_args": {}},
        "guide": {"class_path": "doodl.guides.clip.CLIPText", "init_args": {}},
    }
}


@pytest.fixture
def written(tmp_path):
    """Writes a picture and returns the texts of its file."""

    def write(prompt, negative=""):
        generation = Generation(prompt, 3, negative_prompt=negative)
        shot = Snapshot(2, torch.rand(3, 16, 24), None, 0.5, None, None)
        texts = picture_texts(generation, shot, SETTINGS, "1b2c")
        save(shot.pixels, tmp_path / "a.png", texts)
        with Image.open(tmp_path / "a.png") as picture:
            return dict(picture.text)

    return write


def a1111(text):
    """Prompt, negative prompt and settings by the web UI's own regular expressions."""
    parameter = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
    *lines, last = text.strip().split("\n")
    assert len(parameter.findall(last)) >= 3
    start = next(i for i, x in enumerate(lines) if x.startswith("Negative prompt:"))
    lines[start] = lines[start][len("Negative prompt:") :]
    values = {
        k: json.loads(v) if v[0] == v[-1] == '"' else v
        for k, v in parameter.findall(last)
    }
    return "\n".join(lines[:start]), "\n".join(lines[start:]).strip(), values


def comfyui(text):
    """Prompt, negative prompt and settings as ComfyUI's page imports them."""
    end = text.rindex("\nSteps:")
    middle = text.rindex("\nNegative prompt:", 0, end)
    options = re.findall(
        r'\s*([^:]+:\s*(?:[^"\{].*?|".*?"|\{.*?\}))\s*(?:,|$)',
        text[end:].split("\n")[1],
    )
    values = {o.split(":")[0].strip().lower(): o.split(":")[1].strip() for o in options}
    return text[:middle].strip(), text[middle + 18 : end].strip(), values


@pytest.mark.parametrize("negative", ["", "blurry: very, (bad:1.2)"])
@pytest.mark.parametrize("prompt", ["a fox, in a library", "größerer Kreis 円", ""])
def test_a1111_reads_how_a_picture_was_made(written, prompt, negative):
    found = a1111(written(prompt, negative)["parameters"])
    assert found[:2] == (prompt, negative)
    assert found[2]["Steps"] == "20"
    assert found[2]["CFG scale"] == "7.5"
    assert found[2]["Seed"] == "3"
    assert found[2]["Size"] == "24x16"
    assert found[2]["Sampler"] == "EDICT"
    assert found[2]["Model"] == "C:\\models, mine"
    assert found[2]["Updates"] == "2"


@pytest.mark.parametrize("negative", ["", "blurry"])
def test_comfyui_imports_the_same(written, negative):
    prompt, refused, values = comfyui(written("a fox, here", negative)["parameters"])
    assert (prompt, refused) == ("a fox, here", negative)
    assert (values["steps"], values["seed"], values["size"]) == ("20", "3", "24x16")
    assert values["cfg scale"] == "7.5"


def test_no_text_has_a_key_in_which_comfyui_expects_a_workflow(written):
    assert not {"prompt", "workflow"} & set(written("a fox"))


def test_our_own_text_has_the_prompt_to_the_letter(written):
    ours = json.loads(written("two\nlines\nSteps: 3")["doodl"])
    assert ours["prompt"] == "two\nlines\nSteps: 3"
    assert (ours["seed"], ours["update"], ours["settings"]) == (3, 2, "1b2c")


def test_a_prompt_cannot_pretend_to_be_settings(written):
    text = written("a fox\nNegative prompt: cats\nSteps: 3, Seed: 9")["parameters"]
    _, negative, values = a1111(text)
    assert (negative, values["Seed"]) == ("", "3")
