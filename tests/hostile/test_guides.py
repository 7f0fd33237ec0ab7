"""Guides that users write wrongly, through the real entry point: one line each."""

import re

import pytest

from doodl import cli

HEAD = "import torch\nfrom doodl.guides import Guide\n\n\nclass Own(Guide):\n"
FORWARD = "    def forward(self, pixels, targets):\n"
MEAN = FORWARD + "        return pixels.mean(dim=(1, 2, 3))\n"

CASES = {
    "whole": (
        FORWARD + "        return pixels.mean()\n",
        "one loss a picture, .*line 6",
    ),
    "rows": (
        FORWARD + "        return pixels.mean(dim=(1, 2))\n",
        "one loss a picture",
    ),
    "constant": (
        FORWARD + "        return torch.ones(len(pixels))\n",
        "received const",
    ),
    "none": (FORWARD + "        pixels.mean()\n", "received None; return a tensor"),
    "list": (
        FORWARD + "        return [p.mean() for p in pixels]\n",
        "received a list",
    ),
    "number": (FORWARD + "        return 1.0\n", "received a float; return a tensor"),
    "item": (
        FORWARD + "        return pixels.mean().item()\n",
        "received a float; return a tensor",
    ),
    "detached": (
        FORWARD + "        return pixels.detach().mean(dim=(1, 2, 3))\n",
        "with a gradient from the guide Own .*line 6.*received constants",
    ),
    "signature": (
        "    def forward(self, pixels):\n        return pixels.mean(dim=(1, 2, 3))\n",
        r"forward\(self, pixels, targets\) in the guide Own .*forward\(self, pixels\)",
    ),
    "super": (
        "    def __init__(self):\n        self.weight = 1\n\n" + MEAN,
        r"the guide Own .* to call super\(\).__init__\(\)",
    ),
    "super_module": (
        "    def __init__(self):\n        self.net = torch.nn.Linear(2, 2)\n\n" + MEAN,
        r"super\(\).__init__\(\) at .*super_module.py, line 7",
    ),
    "batch": (
        FORWARD + "        return (pixels - pixels.mean()).abs().mean(dim=(1, 2, 3))\n",
        "same in every batch, received",
    ),
    "folder": (
        FORWARD + "        import os\n        os.chdir('/')\n"
        "        return pixels.mean(dim=(1, 2, 3))\n",
        "leave the working folder at .*, received /;",
    ),
    "dtype": (
        FORWARD + "        torch.set_default_dtype(torch.float64)\n"
        "        return pixels.mean(dim=(1, 2, 3))\n",
        "leave the default dtype at torch.float32",
    ),
    "infinite": (
        FORWARD + "        return pixels.mean(dim=(1, 2, 3)) / 0\n",
        "received infinity for both",
    ),
    "backward_inside": (
        FORWARD + "        loss = pixels.mean(dim=(1, 2, 3))\n"
        "        loss.sum().backward(retain_graph=True)\n        return loss\n",
        "call of backward",
    ),
    "targets_in_place": (
        "    def prepare(self, generations):\n"
        "        return {'a': torch.ones(len(generations))}\n\n"
        + FORWARD
        + "        targets['a'].mul_(2)\n"
        "        return targets['a'] * pixels.mean(dim=(1, 2, 3))\n",
        "its target 'a' unchanged",
    ),
    "keywords": (
        "    def forward(self, *, pixels, targets):\n"
        "        return pixels.mean(dim=(1, 2, 3))\n",
        r"received forward\(self, \*, pixels, targets\)",
    ),
    "in_place": (
        FORWARD + "        return pixels.sub_(0.5).mean(dim=(1, 2, 3))\n",
        "its pixels unchanged",
    ),
    "exception": (
        FORWARD + "        return pixels.mean(dim=(1, 2, 3)) / targets['text']\n",
        "exception KeyError in exception.py, line 7: 'text'; correct that line",
    ),
    "sentence": (
        FORWARD + "        raise ValueError('of its own')\n",
        "exception ValueError in sentence.py, line 7: of its own; correct that line",
    ),
    "load": (
        "    def load(self, device):\n        open('gone.pt')\n\n" + MEAN,
        "FileNotFoundError in load.py, line 7: .*gone.pt",
    ),
    "prepare": (
        "    def prepare(self, generations):\n        return 1\n\n" + MEAN,
        "dictionary of tensors from prepare of the guide Own .* received a int",
    ),
    "abstract": ("    pass\n", "abstract.Own, which is abstract; define its"),
    "constructor": (
        "    def __init__(self):\n        raise RuntimeError('of its own')\n\n" + MEAN,
        "RuntimeError.*constructor.py, line 7.*of its own|of its own",
    ),
    "argument": (
        "    def __init__(self, size: int):\n        super().__init__()\n\n" + MEAN,
        "size",
    ),
    "nan": (
        FORWARD + "        return pixels.mean(dim=(1, 2, 3)) * float('nan')\n",
        "the guide Own .*line 6.* to return numbers .* received NaN for both",
    ),
    "size": (
        "    input_size = 'big'\n\n" + MEAN,
        "Expected input_size in pixels, or None, of Own, received 'big'",
    ),
    "exits": (
        FORWARD + "        raise SystemExit(0)\n",
        "exits.py, line 7, ends the program: 'raise SystemExit",
    ),
    "syntax": ("    def\n", "syntax"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_guide_is_one_sentence(shapes, monkeypatch, capsys, tmp_path, name):
    body, words = CASES[name]
    (tmp_path / "kept").mkdir()
    (tmp_path / f"{name}.py").write_text(HEAD + body)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "kept"))
    monkeypatch.setattr("doodl.pretrained.load_text_to_image", None)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["fit", "--model.guide", f"{name}.Own"])
    out, err = capsys.readouterr()
    assert exit_.value.code == 2, err
    assert (out, err[:7], err.count("\n")) == ("", "doodl: ", 1), err
    assert re.search(words, err), err
    assert "Traceback" not in err
    assert {p.name for p in tmp_path.iterdir()} == {"kept", f"{name}.py"}
