"""The command: what it parses, what it refuses, and one small run of each kind."""

import csv
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml

from doodl import cli
from doodl.configuration import CONFIGS, model_of

TINY = (
    *("--model.num_steps", "2", "--model.num_updates", "1"),
    *("--multicrop.num_cutouts", "2", "--data.seeds", "[0]"),
)


@pytest.fixture(autouse=True)
def empty(shapes, tmp_path, monkeypatch):
    """Runs each test in an empty folder; `shapes` is the tiny world."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.fixture
def unloaded(monkeypatch):
    """Fails the test if a network is loaded."""

    def fail(*args, **kwargs):
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("doodl.pretrained.load_text_to_image", fail)
    monkeypatch.setattr("doodl.pretrained.load_clip", fail)
    monkeypatch.setattr("doodl.shapes.judge.load_timm", fail)


@pytest.fixture
def printed(capsys, unloaded):
    """The configuration that a command would run, as text and parsed."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            cli.main([*arguments, "--print_config"])
        out, err = capsys.readouterr()
        assert (exit_.value.code, err) == (0, "")
        return out, yaml.safe_load(out)

    return run


@pytest.fixture
def refused(capsys, unloaded):
    """The sentence that a command ends with."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            cli.main(arguments)
        out, err = capsys.readouterr()
        assert exit_.value.code not in (0, None)
        assert (out, err[:7], err.count("\n"), err[-1]) == ("", "doodl: ", 1, "\n")
        assert "Traceback" not in err
        return err[7:-1]

    return run


def manifest(folder):
    with (folder / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


# What it parses


def test_no_argument_is_the_shapes_demo(printed):
    _, config = printed("fit")
    demo = yaml.safe_load((CONFIGS / "shapes.yaml").read_text())
    assert config["model"]["pretrained"] == "shapes"
    guides = config["model"]["guide"]["init_args"]["guides"]
    models = [guide["init_args"]["model"] for guide in guides]
    assert models == ["shapes/guide", "shapes/guide_b", "shapes/guide_c"]
    for key in ("mixing", "guidance_scale"):
        assert config["model"][key] == demo["model"][key]
    assert config["data"]["prompts"] == demo["data"]["prompts"]
    assert config["model"] == printed("fit", "--config", "fast")[1]["model"]
    assert config["model"]["method"]["class_path"].endswith("DDIM")
    assert config["trainer"]["logger"] is False  # of default.yaml, below it


def test_the_reference_has_the_defaults_of_every_world(printed):
    page = (CONFIGS.parent / "docs" / "reference" / "command.md").read_text()
    row = r"^\| `--model\.(\w+)` \|.*\| ([\d.]+) \(shapes: ([\d.]+)\) \|$"
    rows = re.findall(row, page, re.MULTILINE)
    assert len(rows) == 4
    paper = printed("fit", "--model.pretrained", "a/b")[1]["model"]
    small = printed("fit", "--config", "shapes")[1]["model"]
    for name, *numbers in rows:
        assert [float(n) for n in numbers] == [paper[name], small[name]]
    bare = printed("fit")[1]["model"]
    steps, updates = bare["num_steps"], bare["num_updates"]
    said = f"{steps} steps and {updates} updates with DDIM, straight-through"
    assert said in page
    assert f"whose lr is {bare['optimizer']['init_args']['lr']}" in page


def test_a_function_without_annotations_is_a_guide(printed, empty):
    text = "def dark(pixels):\n    return pixels.mean((1, 2, 3))\n"
    (empty / "own_dark.py").write_text(text)
    chosen = ["--model.guide", "doodl.guides.Function"]
    chosen += ["--model.guide.function", "own_dark.dark"]
    guide = printed("fit", *chosen)[1]["model"]["guide"]
    assert guide["init_args"]["function"] == "own_dark.dark"


@pytest.mark.parametrize(
    "chosen",
    [
        ("--model.num_steps", "20"),
        ("--model", "mine.yaml"),
        ("--config", "paper"),
        ("--config=shapes",),
    ],
)
def test_whoever_chooses_a_setting_of_the_model_begins_with_the_papers(
    printed, empty, chosen
):
    (empty / "mine.yaml").write_text("num_steps: 20\n")
    model = printed("fit", *chosen)[1]["model"]
    assert model["method"] is None
    assert model["adjoint"]["class_path"].endswith("CheckpointBudgetAdjoint")
    assert model["optimizer"]["class_path"] == "doodl.LatentSGD"


@pytest.mark.parametrize("how", ["argument", "equals", "config"])
def test_another_model_has_the_papers_values(printed, empty, how):
    (empty / "mine.yaml").write_text("model: {pretrained: owner/model}\n")
    arguments = {
        "argument": ["--model.pretrained", "owner/model"],
        "equals": ["--model.pretrained=owner/model"],
        "config": ["--config", "mine.yaml"],
    }
    _, config = printed("fit", *arguments[how])
    paper = yaml.safe_load((CONFIGS / "default.yaml").read_text())
    assert config["model"]["pretrained"] == "owner/model"
    assert config["model"]["judge"] is config["model"]["verdict"] is None
    for key in ("num_steps", "num_updates", "mixing", "guidance_scale"):
        assert config["model"][key] == paper["model"][key]
    assert config["model"]["guide"] == paper["model"]["guide"] | {
        "init_args": {**paper["model"]["guide"]["init_args"], "guide_prompt": None}
    }


@pytest.mark.parametrize("name", sorted(p.stem for p in CONFIGS.glob("*.yaml")))
def test_every_packaged_config_parses_by_its_bare_name(printed, name):
    for arguments in (("--config", name), (f"--config={name}",)):
        _, config = printed("fit", *arguments)
        said = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        folder = said.get("results", {}).get("folder", "results")
        assert config["results"]["folder"] == folder


def test_a_packaged_config_has_values_of_its_own_for_the_embedded_world(printed):
    small = printed("fit", "--config", "symmetry")[1]
    paper = printed("fit", "--config", "symmetry", "--model.pretrained", "a/b")[1]
    clip = [c["model"]["optimizer"]["init_args"]["clip"] for c in (small, paper)]
    assert clip == [0.04, 1e-3]
    assert paper["data"]["prompts"] == ["a butterfly"]
    last = printed("fit", "--config=symmetry", "--data.prompts", "['a red ring']")[1]
    assert last["data"]["prompts"] == ["a red ring"]


def test_a_model_named_in_a_file_of_settings_is_not_the_embedded_one(printed, empty):
    (empty / "m.yaml").write_text("pretrained: a/b\n")
    (empty / "all.yaml").write_text("model: m.yaml\n")
    (empty / "dotted.yaml").write_text("model.pretrained: a/b\n")
    (empty / "top.yaml").write_text("fit: {model: {pretrained: a/b}}\n")
    for chosen in (
        ("--model", "m.yaml"),
        ("--model", '{"pretrained": "a/b"}'),
        ("--config", "all.yaml"),
        ("--config", "dotted.yaml"),
    ):
        found = printed("fit", *chosen)[1]["model"]
        assert (found["pretrained"], found["num_steps"]) == ("a/b", 50)
    assert model_of(["--config", "top.yaml", "fit"]) == "a/b"
    assert model_of(["fit", "--model", "{"]) == "shapes"


def test_the_papers_algorithm_is_one_name_away(printed):
    for model in ("shapes", "a/b"):
        chosen = ("--model.pretrained", model)
        names = ("--config", "fast", "--config", "paper")
        found = printed("fit", *chosen, *names)[1]["model"]
        assert found == printed("fit", *chosen)[1]["model"]


NAMED = ["aesthetic", "aesthetic_edit", "classifier"]
NAMED += ["clip_text", "personalization", "symmetry"]


@pytest.mark.parametrize("name", NAMED)
def test_an_application_keeps_its_settings_after_the_papers(printed, name):
    for model in ("shapes", "a/b"):
        chosen = ("fit", "--model.pretrained", model)
        alone = printed(*chosen, "--config", name)[1]
        found = printed(*chosen, "--config", "paper", "--config", name)[1]
        for group in ("model", "multicrop", "data", "results"):
            assert found[group] == alone[group]


def test_every_configuration_with_a_folder_of_its_name_is_an_application():
    said = {p.stem: yaml.safe_load(p.read_text()) for p in CONFIGS.glob("*.yaml")}
    folders = {n: c.get("results", {}).get("folder") for n, c in said.items()}
    assert sorted(n for n in said if folders[n] == f"results/{n}") == NAMED


def test_a_bare_name_means_a_config_only_after_config(printed):
    folder = printed("fit", "--results.folder", "shapes")[1]["results"]["folder"]
    assert folder == "shapes"
    model = printed("fit", "--model.pretrained", "shapes")[1]["model"]["pretrained"]
    assert model == "shapes"


def test_an_own_file_goes_before_a_packaged_config_of_its_name(printed, empty):
    (empty / "clip_text").write_text("results: {folder: mine}\n")
    assert printed("fit", "--config", "clip_text")[1]["results"]["folder"] == "mine"


def test_the_command_line_goes_before_configs(printed):
    _, config = printed("fit", "--config", "clip_text", "--model.num_steps", "7")
    assert config["model"]["num_steps"] == 7


def test_a_printed_config_means_the_same_again(printed, empty):
    text, config = printed("fit", "--model.mixing", "0.8", "--data.seeds", "[5, 6]")
    (empty / "mine.yaml").write_text(text)
    again = printed("fit", "--config", "mine.yaml")[1]
    assert again == config
    assert (again["model"]["mixing"], again["data"]["seeds"]) == (0.8, [5, 6])


def test_the_help_explains_settings(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["fit", "--help-all"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    for text in ("denoising steps T", "crops of each picture", "results folder; it is"):
        assert text in " ".join(out.split())


# What it refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "subcommand"),
        (["frobnicate"], "report or models, received 'frobnicate'"),
        (["fit", "--config", "missing.yaml"], "missing.yaml"),
        (["fit", "--config", "broken.yaml"], "broken.yaml"),
        (["fit", "--config", "binary.yaml"], "binary.yaml"),
        (["fit", "--config", "list.yaml"], "list.yaml"),
        (["fit", "--config", "."], "not a file"),
        (["fit", "--config", "unknown.yaml"], "colour"),
        (["fit", "--model.colour", "red"], "--model.colour"),
        (["fit", "--model.guide", "nowhere.Guide"], "nowhere.Guide"),
        (["fit", "--model.guide", "doodl.guides.Nothing"], "doodl.guides.Nothing"),
        (["fit", "--model.guide", "doodl.jobs.data.Generation"], "Generation"),
        (["fit", "--model.guide.init_args.colour", "1"], "colour"),
        (
            ["fit", "--model.verdict", "doodl.guides.Symmetry"],
            "Verdict for --model.verdict",
        ),
        (["fit", "--data.prompts", "[]"], "at least one prompt"),
        (["fit", "--data.prompts", "a ring"], "list of prompts or a file.*a ring"),
        (["fit", "--data.prompts", "['a', ' ']"], "received ' ' at position 2"),
        (["fit", "--data.prompts", "['a', 'a']"], "received 'a' twice"),
        (["fit", "--data.seeds", "[1, 1]"], "received 1 twice"),
        (["fit", "--data.seeds", "[-1]"], "received -1"),
        (["fit", "--data.seeds", "[]"], "at least one seed"),
        (["fit", "--data.prompts", "nowhere.csv"], "'nowhere.csv'; there is none"),
        (["fit", "--data.seeds", "3-1"], "range such as '0-99', .* received '3-1'"),
        (["fit", "--trainer.strategy", "ddp"], "independent.*received ddp"),
        (["fit", "--data.batch_size", "0"], "batch_size of at least 1, received 0"),
        (["fit", "--model.num_steps", "0"], "between 1 and 1000, received 0"),
        (["fit", "--model.num_steps", "1001"], "between 1 and 1000, received 1001"),
        (
            ["fit", "--model.num_steps", "few"],
            "whole number for --model.num_steps, received few",
        ),
        (["fit", "--model.num_updates", "0"], "at least 1, .* received 0"),
        (["fit", "--model.mixing", "0"], "a mixing in .* received 0"),
        (["fit", "--model.mixing", "1.5"], "a mixing in .* received 1.5"),
        (["fit", "--model.guidance_scale", ".nan"], "guidance_scale.*nan"),
        (["fit", "--model.guidance_scale", "nan"], "guidance_scale.*nan"),
        (["fit", "--results.folder", "list.yaml"], "'list.yaml' is a file"),
        (["fit", "--results.folder", "list.yaml/in"], "'list.yaml' is a file"),
        (["fit", "--model.optimizer.init_args.lr", "-1"], "a positive and finite lr"),
        (["fit", "--early_stopping.patience", "0"], "a patience of at least 1"),
        (["fit", "--multicrop.reduction", "max"], "reduction.*max"),
        (["fit", "--trainer.gradient_clip_val", "1"], "no trainer.gradient_clip_val"),
        (["fit", "--trainer.accumulate_grad_batches", "2"], "of 1, received 2"),
        (["fit", "--trainer.max_epochs", "-5"], "max_epochs.*-5"),
        (["fit", "--trainer.max_steps", "2"], "no trainer.max_steps, received 2"),
        (["fit", "--trainer.limit_train_batches", "2"], "no .*batches, received 2"),
        (["fit", "--trainer.limit_train_batches", "0.5"], "no .*batches, received 0.5"),
        (["fit", "--trainer.overfit_batches", "1"], "no trainer.overfit_batches"),
        (["fit", "--trainer.fast_dev_run", "true"], "no trainer.fast_dev_run"),
        (["fit", "--trainer.devices", "abc"], "`devices` selected with"),
        (["fit", "--model.optimizer", "torch.optim.SGD"], "LatentSGD.*received SGD"),
        (["fit", "--optimizer", "torch.optim.SGD"], "--optimizer"),
        (["fit", "--data.prompts", "a ring " * 50], "list of prompts or a file"),
        (
            ["fit", "--data.prompts", "job.csv"],
            "a picture at 'gone.png'; there is none",
        ),
        (["predict", "--data.prompts", "[]"], "at least one prompt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_with_one_sentence(refused, empty, arguments, message):
    (empty / "broken.yaml").write_text("model: [")
    (empty / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    (empty / "list.yaml").write_text("- 1\n- 2\n")
    (empty / "unknown.yaml").write_text("model: {colour: red}\n")
    (empty / "job.csv").write_text("prompt,image\na ring,shapes/dull.png\na,gone.png\n")
    sentence = refused(*arguments)
    assert re.search(message, sentence), sentence


def test_a_missing_model_is_a_sentence_too(capsys, empty):
    with pytest.raises(SystemExit):
        cli.main(["fit", "--model.pretrained", "./nothing"])
    err = capsys.readouterr().err
    assert err.startswith("doodl: Expected a folder with a model_index.json")
    assert err.count("\n") == 1


def test_a_sentence_can_be_had_as_a_traceback(monkeypatch, unloaded):
    monkeypatch.setenv("DOODL_TRACEBACK", "1")
    with pytest.raises(ValueError, match="at least one prompt"):
        cli.main(["fit", "--data.prompts", "[]"])


def test_it_leaves_the_process_as_it_was(printed):
    before = list(sys.argv), list(warnings.filters), warnings.showwarning
    printed("fit", "--config", "clip_text")
    assert (list(sys.argv), list(warnings.filters), warnings.showwarning) == before


# What it does


def test_fit_in_an_empty_folder(empty, capsys):
    cli.main(["fit", *TINY])
    out, err = capsys.readouterr()
    rows = manifest(empty / "results")
    assert [row["status"] for row in rows] == ["finished"] * 3
    for row in rows:
        assert row["updates"] == "1"
        assert float(row["guide_best"]) >= float(row["guide_first"])
        assert row["judge_first"]
        assert row["verdict_first"] in ("True", "False")
        assert (empty / "results" / row["folder"] / "best.png").is_file()
        assert (empty / "results" / "tensorboard" / row["folder"]).is_dir()
    assert sorted(p.name for p in empty.iterdir()) == ["results"]
    saved = yaml.safe_load((empty / "results" / "config.yaml").read_text())
    assert saved["model"]["num_steps"] == 2
    assert "Pictures and manifest.csv: results" in out
    assert "Curves: tensorboard --logdir results/tensorboard" in out
    assert "generations 1-3 of 3" in out + err
    assert "Warning" not in out + err


def test_predict_with_a_model_of_ones_own(empty, world, capsys):
    arguments = [f"--model.pretrained={world / 'pipeline'}"]
    arguments += [f"--model.guide.init_args.model={world / 'guide'}"]
    arguments += ["--data.prompts", "['any words, größer']", *TINY]
    cli.main(["predict", *arguments])
    (row,) = manifest(empty / "results" / "original")
    assert (row["status"], row["updates"], row["seed"]) == ("sampled", "0", "0")
    assert row["prompt"] == "any words, größer"
    assert row["judge_first"] == row["verdict_first"] == ""


def test_fit_with_a_guide_of_ones_own_in_the_current_folder(empty):
    (empty / "dark.py").write_text(
        "from doodl.guides import Guide\n\n\n"
        "class Dark(Guide):\n"
        "    def forward(self, pixels, targets):\n"
        "        return pixels.mean(dim=(1, 2, 3))\n"
    )
    cli.main(["fit", "--model.guide", "dark.Dark", *TINY])
    assert all(
        -1 <= float(row["guide_best"]) <= 0 for row in manifest(empty / "results")
    )


APPLICATIONS = ("classifier", "aesthetic", "aesthetic_edit", "personalization")
BASELINES = ("OneStep", "BestOfN")


@pytest.mark.parametrize("name", [*APPLICATIONS, "symmetry"])
def test_every_application_runs_in_the_embedded_world(empty, name):
    cli.main(["fit", "--config", name, *TINY])
    rows = manifest(empty / "results" / name)
    assert {row["status"] for row in rows} == {"finished"}
    assert all(row["guide_first"] and row["guide_best"] for row in rows)


@pytest.mark.parametrize("name", ["paper", "fast"])
def test_every_rule_runs_in_the_embedded_world(empty, name, capsys):
    cli.main(["fit", "--config", name, *TINY])
    assert {row["status"] for row in manifest(empty / "results")} == {"finished"}
    out, err = capsys.readouterr()
    assert "Warning" not in out + err


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_application_has_its_baselines(empty, name, baseline):
    samples = ["--model.baseline.init_args.samples=2"] if baseline == "BestOfN" else []
    chosen = ["--model.baseline", f"doodl.baselines.{baseline}", *samples]
    cli.main(["predict", "--config", name, *chosen, *TINY])
    rows = manifest(empty / "results" / name)
    assert {row["status"] for row in rows} == {"sampled"}
    assert all(row["guide_first"] and row["guide_best"] for row in rows)


def test_a_folder_holds_what_one_configuration_makes(empty, capsys):
    cli.main(["fit", *TINY])
    cli.main(["fit", "--model.execution.image_by_image=false", *TINY])
    other = ["--model.adjoint", "doodl.sampling.adjoints.CheckpointAdjoint"]
    with pytest.raises(SystemExit) as exit_:
        cli.main(["fit", *other, *TINY])
    assert exit_.value.code == 2
    assert "'results' were made with other settings: model.a" in capsys.readouterr().err


@pytest.mark.parametrize("axes", ["", "dim=(1, 2)"])
def test_a_guide_of_another_shape_is_a_sentence(capsys, empty, axes):
    (empty / "shapeless.py").write_text(
        "from doodl.guides import Guide\n\n\n"
        "class Shapeless(Guide):\n"
        "    def forward(self, pixels, targets):\n"
        f"        return pixels.mean({axes})\n"
    )
    with pytest.raises(SystemExit):
        cli.main(["fit", "--model.guide", "shapeless.Shapeless", *TINY])
    err = capsys.readouterr().err
    assert "one loss a picture" in err
    assert "Traceback" not in err
    # Nothing was made, so that the folder takes the settings of another try.
    cli.main(["fit", *TINY])
    assert len(manifest(empty / "results")) == 3


def test_symmetry_is_that_of_the_whole_picture(printed):
    _, config = printed("fit", "--config", "symmetry")
    assert config["multicrop"]["num_cutouts"] == 0  # a crop has another axis


def test_a_folder_named_as_a_packaged_config_is_none(printed, empty):
    (empty / "symmetry").mkdir()
    _, config = printed("fit", "--config", "symmetry")
    assert config["model"]["guide"]["class_path"] == "doodl.guides.Symmetry"


def test_the_progress_bar_can_be_left_out(empty, capsys):
    cli.main(["fit", *TINY, "--trainer.enable_progress_bar", "false"])
    assert len(manifest(empty / "results")) == 3
    assert "generations 1-3" not in "".join(capsys.readouterr())


def test_callbacks_that_change_pictures_belong_to_a_folder(empty, capsys):
    (empty / "black.py").write_text(
        "from lightning import Callback\n\n\nclass Black(Callback):\n    pass\n"
    )
    cli.main(["fit", *TINY])
    cli.main(["fit", *TINY, "--trainer.callbacks+=doodl.callbacks.Animation"])
    with pytest.raises(SystemExit):
        cli.main(["fit", *TINY, "--trainer.callbacks+=black.Black"])
    assert "made with other settings: callbacks" in capsys.readouterr().err


def test_predict_with_a_baseline(empty):
    arguments = ["--model.baseline", "doodl.baselines.BestOfN"]
    cli.main(["predict", *arguments, "--model.baseline.init_args.samples=2", *TINY])
    assert {row["updates"] for row in manifest(empty / "results/original")} == {"1"}


def test_a_wide_gap_is_one_sentence(empty, capsys, monkeypatch):
    monkeypatch.setattr("doodl.trajectory.CORRUPT_GAP", 1e-9)
    cli.main(["predict", *TINY])
    err = capsys.readouterr().err
    said = [line for line in err.splitlines() if line.startswith("doodl: The two")]
    assert len(said) == 1


def test_the_first_run_prints_its_own_lines_only(empty):
    prompt = "a green heart above a red ring"
    arguments = ["--data.prompts", f"['{prompt}']", "--data.seeds", "[0]"]
    done = subprocess.run(
        [sys.executable, "-m", "doodl", "fit", *TINY, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        assert line.startswith("doodl: ")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    progress = [line for line in lines if re.search(r"\d(it/s|s/it)|\?it/s", line)]
    header, row, *paths = lines[len(progress) :]
    assert lines[: len(progress)] == progress
    assert header.split() == ["prompt", "seed", "guide", "judge", "verdict"]
    assert row.startswith(prompt)
    assert [path.partition(":")[0] for path in paths] == [
        "Pictures and manifest.csv",
        "Curves",
    ]


def test_the_package_depends_on_what_diffusers_asks_for():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    asked = tomllib.loads(pyproject.read_text())["project"]["dependencies"]
    # Without accelerate, diffusers advises to install it at every start.
    assert any(name.startswith("accelerate") for name in asked)


def test_the_installed_command_refuses_as_it_does_here(empty):
    Path("random.py").write_text("raise OSError('imported in place of a library')")
    done = subprocess.run(
        [sys.executable, "-m", "doodl", "fit", "--data.seeds", "[-1]"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "doodl: Expected seeds from 0 to 2^63 - 1, received -1; choose another.\n"
    )
