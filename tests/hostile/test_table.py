"""Mistakes and hostile inputs, each through the real entry point: one line, its words.

A case is the arguments after `doodl` and a pattern of its sentence. Every case exits
with 2, loads no network, and leaves the folder as it was.
"""

import os
import re
import sys
from itertools import pairwise

import pytest

from doodl import cli

LONG = "a ring " * 60
NESTED = (
    "--model.guide {{class_path: doodl.guides.Ensemble, init_args: {{guides: [{}]}}}}"
)
MISSPELT = "{class_path: doodl.guides.CLIPText, init_args: {modell: x}}"
HALF = "{class_path: doodl.editing.Edit, init_args: {strength: half}}"
FAST = "{class_path: torch.optim.SGD, init_args: {lr: fast}}"
TIMER = "--trainer.callbacks+ lightning.pytorch.callbacks.Timer"
EVIL = "\x1b[2Jring\u202egnir"

LIGHTNING = "lightning.pytorch.callbacks"
COMMANDS = [
    ("", "report or models, received 'nothing'"),
    ("fti", "received 'fti'; did you mean fit"),
    ("predcit", "did you mean predict"),
    ("train", "received 'train'"),
    ("--data.prompts [] fit", "before its settings.*doodl fit --data.prompts"),
    ("--model.num_steps 3 predict", "doodl predict --model.num_steps"),
    ("--nothing", "received '--nothing'"),
    ("fit ring", "in quotes, received 'ring'"),
    ("fit --data.prompts a red ring", "in quotes, received 'red'.*both quotes"),
    ("fit --model.num_steps 3 4", "one value after --model.num_steps"),
    ("fit --model.num_steps", "a value after --model.num_steps"),
    ("fit --model.num_steps --data.seeds 1", "a value after --model.num_steps"),
    ("predict --config", "a value after --config"),
    ("fit -c", "a value after -c"),
]
CONFIGS = [
    ("--config clip_txt", "did you mean clip_text"),
    ("--config missing.yaml", "'missing.yaml', which does not exist"),
    ("--config folder", "'folder', which is not a file"),
    ("--config pipe", "'pipe', which is not a file"),
    ("--config /dev/zero", "which is not a file"),
    ("--config ~/nowhere.yaml", "nowhere.yaml', which does not exist"),
    ("--config=symetry", "did you mean symmetry"),
    ("--config twice.yaml", "'num_steps' of line 2 stands in line 3 again"),
    ("--config bomb.yaml", "has 16 aliases; write the values out"),
    ("--config repeated.yaml", "'num_steps' of line 1 stands in line 1 again"),
    ("--config octal.yaml", "octal.yaml': '010' would be read as 8; write 10"),
    ("--data.seeds=[1:30]", "'1:30' would be read as 90; write"),
    ("--config dotted.yaml", "'model.num_steps' also stands below 'model'; remove"),
    ("--config merged.yaml", "'num_steps' of line 1 stands in line 1 again"),
    ("--data bomb.yaml", "aliases"),
    (f"--data.seeds=[&a,1,{'*a,' * 16}]", "The option .* has 16 aliases; write"),
    ("--data pipe", "pipe"),
    ("--model.guide pipe", "Expected a config for --model.guide"),
    ("--trainer hours.yaml", "'max_time' of line 1 stands in line 2 again"),
    ("--model.guide mirrors.yaml", "'class_path' of line 1 stands in line 2 again"),
    ("--model.guide {class_path: a.B, class_path: a.C}", "'class_path' of line 1 st"),
    ("--trainer.callbacks+ [{class_path: a.B, class_path: a.C}]", "'class_path' of"),
    ("--config tab.yaml", "Could not read the config 'tab.yaml'"),
    ("--config open.yaml", "Could not read the config 'open.yaml'"),
    ("--config binary.yaml", "Could not read the config 'binary.yaml'"),
    ("--config empty.yaml", "'key: value' in the config 'empty.yaml'"),
    ("--config list.yaml", "found list"),
    ("--config five.yaml", "below 'model' in the config 'five.yaml', found 5"),
    ("--config text.yaml", "found str"),
    ("--config object.yaml", "could not determine a constructor"),
    ("--config large.yaml", "at most 1 MiB"),
    ("--config colour.yaml", "exists, received --model.colour"),
    ("--config modle.yaml", "--modle.num_steps; did you mean --model.num_steps"),
    ("--config word.yaml", "whole number for --model.num_steps, received few"),
]
KEYS = [
    ("--model.colour red", "exists, received --model.colour"),
    ("--seeds [1]", "did you mean --data.seeds"),
    ("--num_steps 3", "did you mean --model.num_steps"),
    ("--modle.num_steps 3", "did you mean --model.num_steps"),
    ("--data.promts []", "did you mean --data.prompts"),
    ("--trainer.nonsense 3", "exists, received --trainer.nonsense"),
    ("--model.guide.init_args.colour 1", "a setting of doodl.guides.Ensemble, rec"),
    ("--model.guide.colour 1", "received 'colour'; it has guides, weights"),
    ("--model.guide doodl.guides.CLIPText", "write --model.guide.model VALUE"),
    (NESTED.format("doodl.guides.CLIPText"), "'model' of doodl.guides.CLIPText.*add"),
    (NESTED.format(MISSPELT), "setting of doodl.guides.CLIPText.*did you mean model"),
    (f"--model.edit {HALF}", "number for 'strength' of doodl.editing.Edit, .*half"),
    (f"--model.optimizer {FAST}", "a number .*--model.optimizer.lr, received fast"),
    ("--model.guide {class_path: torch.nn.L1Loss}", "doodl.guides.Function"),
    ("--optimizer torch.optim.SGD", "exists, received --optimizer"),
    ("--model.lr 3", "exists, received --model.lr; `doodl fit --help` lists"),
    ("--model.num_steps few", "whole number for --model.num_steps, received few"),
    ("--model.num_steps 1.5", "whole number for --model.num_steps"),
    ("--model.num_steps null", "whole number for --model.num_steps"),
    ("--model.num_steps [3]", "whole number for --model.num_steps"),
    ("--model.guidance_scale much", "a number for --model.guidance_scale"),
    ("--model.latents_dtype float16", "one of float32, float64"),
    ("--trainer.precision 17", "one of .*bf16-mixed.* for --trainer.precision"),
    ("--model.guidance_interval [1,2,3]", "a list of 2 values or null"),
    ("--model.guidance_interval often", "--model.guidance_interval, received often"),
    ("--early_stopping.monitor eye", "one of guide, judge"),
    ("--data.batch_size [1]", "whole number for --data.batch_size"),
    ("--multicrop.num_cutouts few", "whole number for --multicrop.num_cutouts"),
    ("--results.save_every_n_updates x", "whole number for --results.save"),
]
CLASSES = [
    ("--model.guide file.py", "write --model.guide file.ClassName"),
    ("--model.guide nowhere.Guide", "'nowhere.Guide': No module named 'nowhere'"),
    ("--model.guide doodl.guides.Symetry", "no attribute 'Symetry'"),
    ("--model.pretrained shape", "received 'shape'; did you mean shapes"),
    ("--model.pretrained fourteen", "hub ids have the form 'owner/name'"),
    ("--model.pretrained ./gone", "model_index.json at './gone', found no such folder"),
    ("--model.pretrained folder", "model_index.json at 'folder', found none there"),
    ("--model.pretrained gone.safetensors", "no checkpoint at 'gone.safetensors'"),
    ("--model.guide 5", "as MODULE.CLASS, received '5'"),
    ("--model.guide ./own.Own", "received './own.Own'; write --model.guide own.Own"),
    ("--model.guide own.py", "a file; write --model.guide own.ClassName"),
    ("--model.guide=", "as MODULE.CLASS, received ''"),
    ("--model.guide {class_path: null}", "as MODULE.CLASS, received another value"),
    ("--model.guide {class_path: 5}", "as MODULE.CLASS, received another value"),
    ("--model.guide {class_path: own.Own, init_args: null}", "leave init_args out"),
    ("--model.guide unset.Own", "a value for 'size' of unset.Own, received none"),
    ("--model.guide moving.Own", "leave the working folder at .*set it back"),
    ("--model.guide doodl.generation.Generation", "a Guide for --model.guide, .*Gene"),
    ("--model.verdict doodl.guides.Symmetry", "a Verdict for --model.verdict"),
    ("--trainer.callbacks nowhere.X", "'nowhere.X': No module named"),
    ("--trainer.callbacks 5", "as MODULE.CLASS, received '5'"),
    ("--model.optimizer torch.optim.SGD", "LatentSGD.*received SGD"),
    ("--model.guide raising.Guide", "raising"),
]
DATA = [
    ("--data.prompts []", "at least one prompt"),
    ("--data.prompts null", "at least one prompt"),
    ("--data.prompts ring", "list of prompts or a file of them, received 'ring'"),
    ("--data.prompts 5", "received '5'"),
    ("--data.prompts [a red: circle]", "with the brackets and both quotes"),
    ("--data.prompts string.jsonl", "a seed from 0 to 2.63 - 1, received '1'"),
    ("--data.negative_prompt \udcff", "whole characters in negative_prompt"),
    ("--results.folder r\udcff", "the results folder in UTF-8, received"),
    ("--data.prompts ['a','a']", "received 'a' twice"),
    (
        "--data.prompts ['null']",
        "words in the prompt at position 1, received the text 'null'",
    ),
    ("--data.prompts null.txt", "line 2: expected a prompt with at least one word"),
    ("--data.prompts ['a','']", "received '' at position 2"),
    ("--data.prompts nowhere.txt", "'nowhere.txt'; there is none"),
    ("--data.prompts ~/nowhere.txt", "nowhere.txt'; there is none"),
    ("--data.prompts folder", "found a folder"),
    ("--data.prompts pipe", "found a pipe"),
    ("--data.prompts pipe.txt", "found a pipe"),
    ("--data.prompts /dev/zero", "found a device"),
    ("--data.prompts /dev/stdin", "found a|file of prompts"),
    ("--data.prompts empty.txt", "received none in empty.txt"),
    ("--data.prompts blank.txt", "received none in blank.txt"),
    ("--data.prompts binary.txt", "line 1: expected text in UTF-8"),
    ("--data.prompts nul.txt", "text in UTF-8"),
    ("--data.prompts header.csv", "received none in header.csv"),
    ("--data.prompts cells.csv", "line 2: expected 2 cells"),
    ("--data.prompts column.csv", "line 1: expected 'prompt'.*'colour'"),
    ("--data.prompts seed.csv", "line 2: expected a seed"),
    ("--data.prompts same.csv", "line 3: expected a different prompt"),
    ("--data.prompts quote.csv", "line 2: expected cells divided by commas"),
    ("--data.prompts broken.jsonl", "line 1: expected an object"),
    ("--data.prompts deep.jsonl", "line 1: expected an object"),
    ("--data.prompts number.jsonl", "a text for 'prompt'"),
    ("--data.prompts half.jsonl", "half of one"),
    ("--data.prompts prompts.doc", "list of prompts or a file|ending in .txt"),
    ("--data.seeds []", "at least one seed"),
    ("--data.seeds abc", "received 'abc'"),
    ("--data.seeds 3-1", "received '3-1'"),
    ("--data.seeds -1", "received '-1'"),
    ("--data.seeds 1.5", "received '1.5'"),
    ("--data.seeds 1,1", "received 1 twice"),
    ("--data.seeds [1,1]", "received 1 twice"),
    ("--data.seeds [-1]", "received -1"),
    ("--data.seeds 0-99999999999", "at most a million"),
    ("--data.seeds 9223372036854775808", "from 0 to 2\\^63"),
    ("--data.seeds ''", "list or a range"),
    ("--data.batch_size 0", "batch_size of at least 1"),
    ("--data.images ['gone.png']", "a picture at 'gone.png'; there is none"),
    ("--data.images ['folder']", "found a folder"),
    ("--data.images ['pipe']", "found a pipe"),
    ("--data.images ['/dev/zero']", "found a device"),
    ("--data.images ['text.png']", "found another file"),
    ("--data.images ['empty.txt']", "found another file"),
    ("--data.images ['']", "the path of a picture, received an empty text"),
    ("--data.images ['null']", "the path of a picture, received the text 'null'"),
    ("--data.images ['~nobody9/a.png']", "a picture at '~nobody9"),
]
VALUES = [
    ("--model.height 0", "a height of 1 to 32768 pixels, received 0"),
    ("--model.width -8", "a width of 1 to 32768 pixels, received -8"),
    ("--model.edit.strength 2", "class for --model.edit before its settings"),
    ("--model.guide doodl.guides.CLIPTxt", "did you mean doodl.guides.CLIPText"),
    ("--model.guide lacking.G", "whose file imports 'no_such_package', which is not"),
    ("--model.guide leaving.G", "leaving.py, line 3, ends the program: 'sys.exit"),
    ("--model.guide torch.nn.L1Loss", "--model.guide doodl.guides.Function"),
    ("--model.baseline doodl.baselines.BestOfN", "with `doodl predict`"),
    ("--model x", "'setting: value' pairs or a file of them for --model, received 'x'"),
    ("--data []", "'setting: value' pairs or a file of them for --data"),
    ("--dry-run yes", "no value after --dry-run, received 'yes'"),
    ("--dry-run=false", "no value after --dry-run, received 'false'"),
    ("--trainer.callbacks [1]", "a class for --trainer.callbacks, received"),
    ("--trainer.max_time abc", "DD:HH:MM:SS"),
    ("--trainer.accelerator abc", "invalid accelerator name"),
    (f"--results.folder {'x' * 300}", "names of at most 255 bytes in the path of"),
    ("--results.folder /dev/null/x", "since '/dev/null' is a file"),
    ("--results.folder ~nobody9/x", "Could not find the results folder"),
    ("--results.folder=", "path of the results folder, received an empty text"),
    ("--results.folder null", "results.folder"),
    ("--results.folder text.png", "'text.png' is a file"),
    ("--results.folder text.png/in", "'text.png' is a file"),
    ("--model.num_steps 0", "between 1 and 1000, received 0"),
    ("--model.num_steps 1001", "between 1 and 1000"),
    ("--model.num_updates 9999999999999999999999", "num_updates of .* at most 10"),
    ("--model.height 99999999999999999999", "a height of 1 to 32768 pixels"),
    ("--multicrop.num_cutouts 99999999999999999999", "num_cutouts from 0 to 10000"),
    ("--trainer.callbacks+=doodl.callbacks.ImageLogger", "one callback ImageLogger"),
    (
        f"--trainer.callbacks+={LIGHTNING}.LearningRateFinder",
        "no callback LearningRate",
    ),
    (f"--trainer.callbacks+={LIGHTNING}.WeightAveraging", "no callback WeightAveragi"),
    (
        "--model.verdict judges.Unlike",
        r"as `def load\(self, .* = 'cpu'\) -> None`",
    ),
    ("--config dry.yaml", "true or false for dry_run, received 'false'"),
    ("--data latin.yaml", "text in UTF-8 in '.*latin.yaml'"),
    ("--model.num_updates 0", "num_updates of at least 1"),
    ("--model.mixing 0", "a mixing"),
    ("--model.mixing nan", "a mixing|a number"),
    ("--model.guidance_scale -5", "between 0 and 100, received -5"),
    ("--model.guidance_scale 1e9", "between 0 and 100, received 1000000000"),
    ("--model.guidance_scale .nan", "between 0 and 100, received nan"),
    ("--model.guidance_scale .inf", "between 0 and 100, received inf"),
    ("--model.guidance_interval [-1,50]", "timesteps from 0 to 999"),
    ("--model.guidance_interval [0,2000]", "timesteps from 0 to 999"),
    ("--early_stopping.min_delta 0.5", "a patience with the min_delta 0.5"),
    ("--early_stopping.patience 0", "a patience of at least 1"),
    ("--early_stopping.target .nan", "a finite target"),
    ("--model.optimizer.init_args.lr -1", "a positive and finite lr"),
    ("--trainer.max_epochs 3", "no trainer.max_epochs, received 3.*nothing here"),
    ("--trainer.min_epochs 3", "no trainer.min_epochs"),
    ("--trainer.min_steps 3", "no trainer.min_steps"),
    ("--trainer.limit_val_batches 3", "no trainer.limit_val_batches"),
    ("--trainer.limit_test_batches 3", "no trainer.limit_test_batches"),
    ("--trainer.val_check_interval 3", "no trainer.val_check_interval"),
    ("--trainer.max_steps 0", "no trainer.max_steps, received 0"),
    ("--trainer.max_steps 2", "no trainer.max_steps, received 2"),
    ("--trainer.limit_train_batches 0", "no trainer.limit_train_batches, received 0"),
    ("--trainer.limit_train_batches 0.0", "no trainer.limit_train_batches"),
    ("--trainer.limit_train_batches 0.5", "no trainer.limit_train_batches"),
    ("--trainer.limit_predict_batches 0", "no trainer.limit_predict_batches"),
    ("--trainer.overfit_batches 1", "no trainer.overfit_batches"),
    (f"--config {'x' * 300}", "names of at most 255 bytes in the path of a config"),
    ("--config ~nouser/c.yaml", "Could not find a config at '~nouser/c.yaml'"),
    ("--model.pretrained ~nouser/m", "Could not find a model at '~nouser/m'"),
    ("--trainer.fast_dev_run true", "no trainer.fast_dev_run"),
    ("--trainer.max_time 00:00:00:00", "max_time above zero"),
    ("--trainer.gradient_clip_val 1", "no trainer.gradient_clip_val"),
    ("--trainer.sync_batchnorm true", "no trainer.sync_batchnorm, received True"),
    ("--trainer.gradient_clip_algorithm norm", "no trainer.gradient_clip_algorithm"),
    ("--trainer.log_every_n_steps 5", "no trainer.log_every_n_steps"),
    ("--trainer.reload_dataloaders_every_n_epochs 1", "no trainer.reload_dataload"),
    ("--trainer.model_registry x", "no trainer.model_registry"),
    ("--trainer.num_nodes 0", "num_nodes of at least 1, received 0"),
    ("--trainer.max_time {centuries: 1}", r"DD:HH:MM:SS, received \{'centuries': 1\}"),
    ("--trainer.max_time {hours: -1}", "max_time above zero"),
    ("--trainer.default_root_dir x", "--trainer.default_root_dir.*results.folder"),
    ("--trainer.callbacks+ doodl.callbacks.Results", "one callback Results, received"),
    (TIMER, "settings that a configuration can hold, received Interval.step"),
    ("--trainer.accumulate_grad_batches 2", "of 1, received 2"),
    ("--trainer.strategy ddp", "independent.*received ddp"),
    ("--trainer.devices abc", "devices"),
    ("--trainer.devices -3", "devices"),
]
PREDICT = [
    ("--trainer.limit_predict_batches 0", "no trainer.limit_predict_batches"),
    ("--trainer.max_time 00:00:00:00", "max_time above zero"),
    ("--trainer.max_steps 0", "no trainer.max_steps"),
    ("--data.prompts pipe", "found a pipe"),
    ("--config twice.yaml", "stands in line 3 again"),
    ("--dry-run", "with `doodl fit`"),
    ("--model.baseline doodl.baselines.OneStepp", "no attribute 'OneStepp'"),
]
WHOLE = [
    (["fit", "--data.prompts", LONG], "list of prompts or a file"),
    (["fit", "--data.prompts", EVIL], r"received '\\x1b\[2Jring\\u202egnir'"),
    (["fit", "--config", EVIL], r"received '\\x1b\[2Jring\\u202egnir'"),
    (["fit", EVIL], r"received '\\x1b\[2Jring\\u202egnir'"),
    (["fit", "--data.prompts", ""], "list of prompts or a file of them, received ''"),
    (["fit", "--data.seeds", ""], "list or a range"),
    (["fit", "--config", ""], "Expected the path of a config, received an empty text"),
    (["fit", "--data.prompts", "[red ring"], "."),
    (["fit", "--model.guide", "{class_path: "], "."),
]
CASES = [
    *((text.split(), words) for text, words in COMMANDS),
    *(
        (["fit", *text.split(" ", 1)], words)
        for table in (CONFIGS, KEYS, CLASSES, DATA, VALUES)
        for text, words in table
    ),
    *((["predict", *text.split(" ", 1)], words) for text, words in PREDICT),
    *WHOLE,
]
GUIDE = """from doodl.guides import Guide

class Own(Guide):
    def forward(self, pixels, targets):
        return pixels.mean((1, 2, 3))
"""
FILES = {
    "repeated.yaml": "model: {num_steps: 2, num_steps: 3}\n",
    "octal.yaml": "data: {seeds: [010]}\n",
    "dry.yaml": "dry_run: 'false'\n",
    "latin.yaml": "prompts: [\xe9t\xe9]\n".encode("latin-1"),
    "null.jsonl": '{"prompt": "a", "guide_prompt": "null"}\n',
    "judges.py": "class Unlike:\n    def load(self, device): pass\n",
    "twice.yaml": "model:\n  num_steps: 2\n  num_steps: 3\n",
    "bomb.yaml": "a: &a [1]\n"
    + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghi")),
    "tab.yaml": "model:\n\tnum_steps: 2\n",
    "open.yaml": "model: [",
    "binary.yaml": b"\xff\xfe\x00\x80",
    "empty.yaml": "",
    "list.yaml": "- 1\n",
    "five.yaml": "model: 5\n",
    "hours.yaml": "max_time: null\nmax_time: 00:00:01:00\n",
    "mirrors.yaml": "class_path: doodl.guides.Symmetry\n" * 2,
    "own.py": f"{GUIDE}    size: int = 3\n",
    "unset.py": f"{GUIDE}    def __init__(self, size):\n        super().__init__()\n",
    "moving.py": f"import os\nos.chdir('folder')\n{GUIDE}    pass\n",
    "lacking.py": "import no_such_package\n",
    "leaving.py": "import sys\n\nsys.exit(0)\n",
    "text.yaml": "model\n",
    "object.yaml": "model: !!python/object/apply:os.system [touch made]\n",
    "large.yaml": "#" * 2**21,
    "colour.yaml": "model: {colour: red}\n",
    "modle.yaml": "modle: {num_steps: 2}\n",
    "word.yaml": "model: {num_steps: few}\n",
    "empty.txt": "",
    "null.txt": "a\nnull\n",
    "blank.txt": "\n  \n",
    "binary.txt": b"\xff\xfe\x00\x80",
    "nul.txt": b"a\x00b",
    "header.csv": "prompt\n",
    "cells.csv": "prompt,seed\na,b,c\n",
    "column.csv": "prompt,colour\na,b\n",
    "seed.csv": "prompt,seed\na,-1\n",
    "same.csv": "prompt\na\na\n",
    "quote.csv": 'prompt\n"a\n',
    "broken.jsonl": "{\n",
    "deep.jsonl": "[" * 100_000,
    "number.jsonl": '{"prompt": 5}\n',
    "string.jsonl": '{"prompt": "a", "seed": "1"}\n',
    "dotted.yaml": "model.num_steps: 3\nmodel: {num_steps: 4}\n",
    "merged.yaml": "model: {<<: {num_steps: 3, num_steps: 4}}\n",
    "half.jsonl": '{"prompt": "\\ud800"}\n',
    "prompts.doc": "a\n",
    "text.png": "hello",
    "raising.py": "raise RuntimeError('of its own')\n",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    for name, content in FILES.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
    (folder / "folder").mkdir()
    for name in ("pipe", "pipe.txt"):
        os.mkfifo(folder / name)
    return folder


def listing(folder):
    return sorted((str(p), p.lstat().st_mtime_ns) for p in folder.rglob("*"))


def test_there_are_at_least_150_cases():
    assert len(CASES) >= 150


@pytest.mark.parametrize(("arguments", "words"), CASES, ids=range(len(CASES)))
def test_a_mistake_is_one_sentence(
    shapes, hostile, monkeypatch, capsys, tmp_path, arguments, words
):
    monkeypatch.chdir(hostile)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("doodl.pretrained.load_text_to_image", None)
    before = listing(hostile)
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert exit_.value.code == 2, err
    assert (out, err[:7], err.count("\n")) == ("", "doodl: ", 1), err
    assert re.search(words, err), err
    for riddle in ("Traceback", "Namespace(", "Union subtypes", "accessible", "\x1b"):
        assert riddle not in err
    assert listing(hostile) == before
