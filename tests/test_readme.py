"""What the README shows runs as it stands, on the tests' small world."""

import re
import shlex
from functools import partial
from pathlib import Path

import pytest

from doodl.cli import main
from doodl.images import load
from doodl.optimization import optimize

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.usefixtures("shapes")
def test_the_python_example_optimises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = (block for block in BLOCKS if "Trainer(" in block)
    example = example.replace("num_steps=20", "num_steps=2")
    exec(example.replace("num_updates=10", "num_updates=2"), {})
    assert len(list((tmp_path / "results/python").glob("*/best.png"))) == 2
    assert re.search(r"^-?0\.\d+$", capsys.readouterr().out, re.MULTILINE)


def test_the_one_call_saves_a_picture(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = (block for block in BLOCKS if "doodl.optimize(" in block)
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
    (own,) = (block for block in BLOCKS if "class Blue" in block)
    assert len(own.strip().splitlines()) <= 15
    (tmp_path / "blue.py").write_text(own)
    settings = ["--model.num_steps", "2", "--model.num_updates", "2"]
    main(["fit", "--model.guide", "blue.Blue", *settings, "--data.seeds", "[0]"])
    assert list((tmp_path / "results").glob("*/best.png"))


COMMANDS = re.findall(r"^(?:srun |.*`)?(doodl (?:fit|predict)[^`#\n]*)", README, re.M)
"""The command lines of code blocks and tables."""


@pytest.mark.parametrize("command", dict.fromkeys(c.strip() for c in COMMANDS))
@pytest.mark.usefixtures("shapes")
def test_every_command_is_understood(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("model:\n  num_steps: 10\n")
    (tmp_path / "blue.py").write_text(next(b for b in BLOCKS if "class Blue" in b))
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = [a for a in shlex.split(command)[1:] if a != "--print_config"]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--print_config"])
    assert exit_.value.code == 0, capsys.readouterr().err
