"""How a command ends: exit code, one sentence, and the file with the traceback."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from doodl.cli import main
from doodl.exits import (
    NothingMade,
    exit_in_one_sentence,
    is_sentence,
    remember_folder,
)
from doodl.rules import Descend, Normalize
from doodl.terminal import Display, forgiving_output, line, shown
from processes import end, start


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("of its own")


@pytest.fixture
def ends(monkeypatch, capsys, tmp_path):
    """Raises an exception within the command; returns exit code and sentence."""
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "kept"))
    monkeypatch.setattr("doodl.exits._two_interrupts", forgiving_output)

    def run(error):
        with pytest.raises(SystemExit) as exit_, exit_in_one_sentence():
            raise error
        return exit_.value.code, capsys.readouterr().err

    return run


def full(folder):
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    remember_folder(error, folder)
    return error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (NothingMade("3 of 3 generations failed: x."), 1, "doodl: 3 of 3 generations"),
        (KeyboardInterrupt(), 130, ""),
        (SIGTERMException(), 143, ""),
        (KeyError("x"), 2, "doodl: KeyError (test_exits.py, line "),
        (RuntimeError("line\none\x1b[2J"), 2, r"line one\x1b[2J; the traceback is in"),
        (MemoryError(), 2, "lower --data.batch_size. The traceback is in"),
        (RuntimeError(), 2, "without a message; the traceback is in"),
        (RuntimeError("x" * 5000), 2, "xxx...; the traceback is in"),
        (Mute(), 2, "without a message; the traceback is in"),
        (BaseException("b"), 2, "BaseException (test_exits.py, line "),
        (PermissionError(errno.EACCES, "x", "a.png"), 2, "'a.png' is not open to this"),
        (TypeError("unhashable type: 'Own'"), 2, "write @dataclass(eq=False)"),
        (ChildProcessError("x"), 2, "ChildProcessError (test_exits.py, line "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_exception_has_a_code_and_a_sentence(ends, error, code, words):
    found, err = ends(error)
    assert found == code
    assert words in err
    assert err.count("\n") == bool(words)
    assert "Traceback" not in err


def test_user_code_that_exits_in_a_begun_job_is_a_failure(ends, tmp_path):
    error = SystemExit(0)
    assert ends(error)[0] == 2
    remember_folder(error, tmp_path)
    code, words = ends(error)
    assert code == 1
    assert "ends the program: 'raise error'" in words


def test_the_last_cause_is_named_and_the_whole_traceback_is_kept(ends, tmp_path):
    error = RuntimeError("outer")
    error.__cause__ = KeyError("inner")
    _, err = ends(error)
    assert "KeyError: 'inner'" in err
    (path,) = (tmp_path / "kept").iterdir()
    assert str(path) in err
    assert "outer" in path.read_text()
    assert "Traceback (most recent call last)" in path.read_text()


def test_a_full_disk_names_the_folder_and_the_remedy(ends, tmp_path):
    code, err = ends(full(tmp_path))
    assert code == 1
    assert f"The disk of '{tmp_path}' is full; free some space and give" in err
    assert "No space left" in (tmp_path / "error.log").read_text()


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_stands_in_the_place_of_the_log_is_not_written_to(ends, tmp_path, kind):
    log, other = tmp_path / "error.log", tmp_path / "other"
    other.write_text("kept")
    make = {"pipe": os.mkfifo, "link": lambda path: path.symlink_to(other)}
    make.get(kind, Path.mkdir)(log)
    error = RuntimeError("broken")
    remember_folder(error, tmp_path)
    code, err = ends(error)
    assert (code, "broken; the traceback is in" in err) == (1, True)
    assert other.read_text() == "kept"


def test_a_results_folder_that_has_disappeared_is_named(ends, tmp_path):
    error = FileNotFoundError(errno.ENOENT, "gone")
    remember_folder(error, tmp_path / "gone")
    code, err = ends(error)
    assert code == 1
    assert f"'{tmp_path / 'gone'}' has disappeared during the job; restore it" in err


def test_a_message_of_python_itself_is_no_sentence():
    from doodl.rules.base import check_rule

    class Wrong(Normalize):
        stage = "nope"

    with pytest.raises(ValueError, match="not in") as error:
        check_rule([Wrong(), Descend()])
    assert not is_sentence(error.value)


@pytest.mark.parametrize("code", [errno.EISDIR, errno.EEXIST, errno.ENOTDIR])
def test_what_stands_in_the_place_of_a_file_is_named(ends, tmp_path, code):
    error = OSError(code, "x", "a.part", None, "a.csv")
    remember_folder(error, tmp_path)
    code, err = ends(error)
    assert code == 1
    assert "Something else is in the place of 'a.csv'; remove it, and give" in err


def test_a_very_long_sentence_keeps_both_ends(ends):
    _, err = ends(NothingMade(f"first {'x' * 10**6} last"))
    assert err.startswith("doodl: first x")
    assert err.endswith("x last\n")
    assert len(err) < 2100


def test_an_exception_can_be_raised_instead(monkeypatch):
    monkeypatch.setenv("DOODL_TRACEBACK", "1")
    with pytest.raises(KeyError), exit_in_one_sentence():
        raise KeyError("x")


def test_an_exception_in_a_thread_is_a_sentence(capsys, monkeypatch, tmp_path):
    def fails():
        raise KeyError("x")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = threading.excepthook
    with exit_in_one_sentence():
        for _ in range(2):  # said once
            thread = threading.Thread(target=fails)
            thread.start()
            thread.join()
    err = capsys.readouterr().err
    assert (err[:15], err.count("\n")) == ("doodl: KeyError", 1)
    assert threading.excepthook is before


def test_a_thread_that_exits_is_no_error(capsys):
    with exit_in_one_sentence():
        thread = threading.Thread(target=sys.exit)
        thread.start()
        thread.join()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", ["", "0", "false", "False"])
def test_a_variable_that_says_no_is_no(monkeypatch, ends, value):
    monkeypatch.setenv("DOODL_TRACEBACK", value)
    assert ends(KeyError("x"))[0] == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOCAL_RANK", "abc"), ("WORLD_SIZE", "0"), ("MASTER_PORT", "99999999")]
    + [("RANK", "-1"), ("SLURM_NTASKS", "1-2")],
)
def test_a_launchers_variable_has_to_be_a_number(monkeypatch, capsys, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as exit_:
        main(["fit"])
    assert exit_.value.code == 2
    assert f"environment variable {name}, received '{value}'" in capsys.readouterr().err


@pytest.mark.parametrize("first", [True, False])
def test_a_stream_that_is_full_or_closed_ends_the_display_only(first, tmp_path):
    stream = open("/dev/full" if first else tmp_path / "closed", "w")  # noqa: SIM115
    if not first:
        stream.close()
    display = Display(stream)
    for _ in range(3):
        display.write("text\n")
        display.flush()
    assert Display(None).write("text") == 4


def test_a_character_that_the_encoding_lacks_is_escaped(tmp_path):
    with (tmp_path / "ascii").open("w", encoding="ascii") as stream:
        Display(stream).write("größer\n")
    assert (tmp_path / "ascii").read_text() == "gr\\xf6\\xdfer\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"),
        ("größer ✓ 猫", "größer ✓ 猫"),
    ],
)
def test_control_and_bidirectional_characters_are_escaped(text, expected):
    assert shown(text) == expected
    assert line(f" {text}\n{text} ") == f"{expected} {expected}"


def test_a_refusal_needs_no_torch():
    program = (
        "import sys, doodl.cli\n"
        "try:\n    doodl.cli.main(sys.argv[1:])\n"
        "except SystemExit as exit_:\n    assert exit_.code == 2\n"
        "assert not {'torch', 'lightning', 'PIL'} & set(sys.modules), 'slow'\n"
    )
    for arguments in (
        ["fti"],
        ["fit", "--data.prompts", "none.txt"],
        ["fit", "-c", "x"],
    ):
        run = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("doodl: Expected")
        assert done.stderr.count("\n") == 1


def test_the_version_is_printed(capsys):
    from doodl.cli import main

    main(["--version"])
    assert capsys.readouterr().out.startswith("doodl ")


@pytest.mark.parametrize("presses", [1, 3])
@pytest.mark.parametrize("delay", [0.1, 1.5])
def test_ctrl_c_is_quiet_at_any_time_and_however_often(presses, delay, tmp_path):
    """The delays are within the imports and within the loading on most machines."""
    program = [sys.executable, "-c", "from doodl.cli import main; main(['fit'])"]
    process = start([*program], cwd=tmp_path)
    # The interpreter itself starts before the command can say what an interrupt means.
    time.sleep(0.6 + delay)
    for _ in range(presses):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
        time.sleep(0.02)
    code, output = end(process)
    assert code == 130, output
    assert "Traceback" not in output
    assert not list(tmp_path.rglob("best.png"))


@pytest.mark.parametrize("place", ["load", "forward"])
def test_ctrl_c_says_whether_anything_was_saved(
    place, shapes, tmp_path, monkeypatch, capsys
):
    from doodl.cli import main
    from doodl.guides import Symmetry

    forward = Symmetry.forward

    def interrupted(self, *args):
        if place == "load" or list(tmp_path.glob("results/symmetry/settings.json")):
            raise KeyboardInterrupt
        return forward(self, *args)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Symmetry, place, interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as exit_:
            main(["fit", "--config", "symmetry", "--model.num_steps", "2"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert exit_.value.code == 130
    out = capsys.readouterr().out
    saved = "Stopped and saved: the same command goes on" in out
    assert saved == (place == "forward")
    assert ("nothing was saved" in out) == (place == "load")


def test_an_interrupt_while_importing_ends_at_once(monkeypatch):
    """Broken off imports would leave half of a module behind."""
    import types

    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setitem(sys.modules, "doodl.command", types.ModuleType("half"))
    with pytest.raises(SystemExit), exit_in_one_sentence():
        signal.raise_signal(signal.SIGINT)
    assert ended == [130]


def test_a_working_folder_that_was_deleted_is_one_sentence(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    inside = f"cd {folder} && rmdir {folder} && exec {sys.executable} -m doodl models"
    ended = subprocess.run(
        ["sh", "-c", inside], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "doodl: Expected a working folder, received one that was" in ended.stderr
    assert "Traceback" not in ended.stderr
