"""The help of the command: short, in groups, and complete where it says so."""

import re
import sys

import pytest

from doodl import cli
from doodl.help import GROUPS


@pytest.fixture
def shown(shapes, capsys, monkeypatch, tmp_path):
    """The help that a command prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            cli.main([*arguments])
        assert exit_.value.code == 0
        return capsys.readouterr().out

    return run


def test_the_command_names_its_subcommands(shown):
    text = shown("--help")
    for name in ("fit", "predict", "test", "report", "models"):
        assert f"  doodl {name} " in text


def test_the_help_of_fit_begins_with_commands_to_type(shown):
    lines = shown("fit", "--help").splitlines()
    assert "  doodl fit" in lines[:12]
    assert len(lines) <= 90
    assert max(map(len, lines)) <= 100
    titles = [line for line in lines if line in GROUPS]
    assert titles == list(GROUPS)


def test_every_option_of_ours_has_one_line_of_help(shown):
    short, full = shown("fit", "--help"), shown("fit", "--help-all")
    ours = r"^  (--(?:model|data|multicrop|early_stopping|image_logger|results)\.\w+) "
    listed = set(re.findall(ours, full, re.M))
    assert len(listed) > 35
    assert sorted(re.findall(ours, short, re.M)) == sorted(
        name for name in listed if not name.endswith(".help")
    )


def test_the_full_help_has_every_option_of_the_trainer(shown):
    full = shown("fit", "--help-all")
    assert "--trainer.detect_anomaly" in full
    assert "--trainer.detect_anomaly" not in shown("fit", "--help")


def test_predict_has_a_help_of_its_own(shown):
    assert "doodl predict --model.baseline" in shown("predict", "--help")


def test_a_classs_help_lists_its_own_options(shown):
    text = shown("fit", "--model.guide.help", "doodl.guides.CLIPText")
    assert "--model.guide.guide_prompt" in text
    assert "What to make" not in text
