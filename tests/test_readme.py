"""What the README and the pages show runs as it stands, on the tests' small world."""

import re
from functools import partial
from pathlib import Path

import pytest

from doodl.cli import main
from doodl.images import load
from doodl.optimization import optimize

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PARTS = (ROOT / "docs" / "reference" / "python.md").read_text()
OWN_LOSS = (ROOT / "docs" / "tutorials" / "own_loss.md").read_text()


def block(text, contained):
    """The one Python block of a page that contains a text."""
    blocks = re.findall(r"```(?:python|{ \.python)[^\n]*\n(.*?)```", text, re.DOTALL)
    (found,) = (b for b in blocks if contained in b)
    return found


@pytest.mark.usefixtures("shapes")
def test_the_python_example_optimises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = block(PARTS, "Trainer(")
    example = example.replace("num_steps=20", "num_steps=2")
    exec(example.replace("num_updates=10", "num_updates=2"), {})
    assert len(list((tmp_path / "results/python").glob("*/best.png"))) == 2
    assert re.search(r"^-?0\.\d+$", capsys.readouterr().out, re.MULTILINE)


def test_the_one_call_saves_a_picture(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = block(README, "doodl.optimize(")
    name = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    example = example.replace(name, str(world / "pipeline")).replace("cuda", "cpu")
    short = {"num_steps": 2, "num_updates": 1, "mixing": 0.8}
    monkeypatch.setattr("doodl.optimize", partial(optimize, **short), raising=False)
    exec(example, {})
    assert load("fox.png").shape == (3, 32, 32)


@pytest.mark.usefixtures("shapes")
def test_a_loss_of_ones_own_is_found_by_its_class_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = block(OWN_LOSS, "class Blue")
    assert len(own.strip().splitlines()) <= 15
    (tmp_path / "blue.py").write_text(own)
    settings = ["--model.num_steps", "2", "--model.num_updates", "2"]
    main(["fit", "--model.guide", "blue.Blue", *settings, "--data.seeds", "[0]"])
    assert list((tmp_path / "results").glob("*/best.png"))
