"""A long check shows how far it is, on a terminal only."""

import io
import itertools

import pytest

from doodl import terminal


class Screen(io.StringIO):
    """A stream that is a terminal, or not."""

    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.fixture
def screen(monkeypatch):
    """Check 300 prompts where every look at the clock takes `step` seconds."""

    def show(step, is_terminal=True):
        stream = Screen(is_terminal)
        monkeypatch.setattr("sys.stderr", stream)
        clock = itertools.count(0.0, step)
        monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
        assert list(terminal.counted(range(300), "prompts")) == list(range(300))
        return stream.getvalue()

    return show


def test_a_long_check_shows_its_progress_and_clears_the_line(screen):
    *lines, cleared, end = screen(2.0).split("\r")
    assert lines[0] == "doodl: checking prompts, 0 of 300"
    assert lines[-1] == "doodl: checking prompts, 256 of 300"
    assert (cleared, end) == (" " * len(lines[-1]), "")


def test_a_short_check_shows_nothing(screen):
    assert screen(1e-4) == ""


def test_a_file_is_sent_no_progress(screen):
    assert screen(2.0, is_terminal=False) == ""
