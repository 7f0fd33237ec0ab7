"""How the source is written: one law a test, measured by `benchmarks/style.py`."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES = 250
LONGEST_FUNCTION = 45


def _style():
    path = ROOT / "benchmarks" / "style.py"
    spec = importlib.util.spec_from_file_location("style", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["style"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


style = _style()


def name(path):
    folder = next(f for f in style.FOLDERS if f in path.parents)
    inside = path.relative_to(folder).as_posix()
    return inside if folder.name == "doodl" else f"{folder.name}/{inside}"


FILES = [p for folder in style.FOLDERS for p in sorted(folder.rglob("*.py"))]
each_file = pytest.mark.parametrize("path", FILES, ids=name)


@each_file
def test_a_file_has_at_most_250_lines(path):
    assert style.measure(path).lines <= MOST_LINES


@each_file
def test_a_function_has_at_most_45_lines(path):
    lengths = style.measure(path).functions.items()
    assert {k: v for k, v in lengths if v > LONGEST_FUNCTION} == {}


@each_file
def test_every_signature_is_annotated(path):
    assert style.measure(path).unannotated == []


@each_file
def test_every_raise_has_a_message(path):
    assert style.measure(path).silent == []


def test_what_is_measured_is_what_stands_there(tmp_path):
    path = tmp_path / "example.py"
    path.write_text(
        '"""A file.\n\nOf two paragraphs.\n"""\n\n\n'
        "def short(a: int, *rest: int) -> int:\n"
        '    """Return a."""\n'
        "    return a  # of all\n\n\n"
        "def loose(a, b: int) -> None:\n"
        "    if b:\n"
        "        raise ValueError\n"
        "    raise ValueError('of a')\n"
    )
    found = style.measure(path)
    assert (found.lines, found.docstrings, found.comments) == (15, 5, 1)
    assert found.functions == {"short": 2, "loose": 4}
    assert (found.arguments, found.annotated) == (4, 3)
    assert found.unannotated == ["loose"]
    assert (found.raises, found.silent) == (2, [14])
