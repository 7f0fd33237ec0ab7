"""Digests of a user's code: a folder's results belong to the code that made them."""

import importlib.util
import sys
from functools import partial

import pytest
from lightning import Trainer

from doodl.guided_generation import GuidedGeneration
from doodl.guides import Classifier, Ensemble, Function, Symmetry
from doodl.jobs.identity import identity
from doodl.jobs.sources import sources
from doodl.optimizer import LatentSGD

CODE = """
from doodl.guides import Guide

class Dark(Guide):
    def forward(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3))

def loss(pixels):
    return pixels.mean(dim=(1, 2, 3))
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    count = iter(range(9))

    def load(code):
        path = tmp_path / f"mine_{next(count)}.py"
        path.write_text(code)
        spec = importlib.util.spec_from_file_location("mine", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "mine", module)
        spec.loader.exec_module(module)
        return module

    return load


def test_code_counts_and_comments_do_not(load):
    same = CODE.replace("return", "# a comment\n        return", 1)
    other = CODE.replace("(1, 2, 3)", "(3, 2, 1)", 1)
    digests = [sources([load(c).Dark()])["mine.Dark"] for c in (CODE, same, other)]
    assert digests[0] == digests[1] != digests[2]


def test_what_is_inside_of_other_objects_counts(load):
    mine = load(CODE)
    for value in (
        Ensemble([Symmetry(), mine.Dark()]),
        partial(LatentSGD, mine.Dark),
        {"a": [mine.Dark()]},
    ):
        assert list(sources([value])) == ["mine.Dark"]
    assert list(sources([Function(mine.loss)])) == ["mine.loss"]
    assert len(sources([lambda pixels: pixels])) == 1


HELPED = """
import colours
from doodl.guides import Guide

WEIGHT, WEIGHTS, HERE = 2.0, (1, 2), __file__

def shared(pixels):
    return WEIGHT * pixels.mean(dim=(1, 2, 3))

def unused(pixels):
    return pixels

class Dark(Guide):
    def forward(self, pixels, targets):
        return colours.even(shared(pixels)) * WEIGHTS[0]
"""


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("2.0, (1", "3.0, (1", True),
        ("(1, 2), _", "(5, 2), _", True),
        ("WEIGHT * p", "-WEIGHT * p", True),
        ("return pixels", "return -pixels", False),
    ],
)
def test_what_the_code_names_counts(load, monkeypatch, tmp_path, old, new, counts):
    (tmp_path / "colours.py").write_text("def even(x):\n    return x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    first, second = (
        sources([load(code).Dark()]) for code in (HELPED, HELPED.replace(old, new, 1))
    )
    assert set(first) == {"colours", "colours.even", "mine.Dark", "mine.shared"}
    assert (first != second) == counts


def test_a_counter_does_not_count(load):
    mine = load(
        CODE.replace("    def f", "    def g(self):\n        global N\n\n    def f")
    )
    before = sources([mine.Dark()])
    mine.N = 3
    assert sources([mine.Dark()]) == before


def test_a_list_counts_as_it_is_written_not_as_it_grows(load):
    listed = CODE.replace("(dim=(1, 2, 3))", "(dim=(1, 2, 3)) * PARTS[0]", 1)
    digests = []
    for value in (1, 2):
        mine = load(f"{listed}\nPARTS: list = [{value}]\nOTHERS = [3]\n")
        digests.append(sources([mine.Dark()]))
        mine.PARTS.append(3)
        assert sources([mine.Dark()]) == digests[-1]
    assert digests[0] != digests[1]


def test_the_names_of_classes_that_a_file_gives_count(tmp_path):
    path, found = tmp_path / "labels.txt", []
    for names in ("ring\nstar", "star\nring"):
        path.write_text(names)
        found.append(sources([Classifier("resnet18", 0, str(path))]))
    assert (
        found[0].keys()
        == found[1].keys()
        == {"doodl.guides.classifier.Classifier reads"}
    )
    assert found[0] != found[1]


def test_the_packages_own_code_and_plain_values_have_none():
    assert sources([Symmetry(), LatentSGD, None, 3, "a", len, {}.get]) == {}


def test_a_folders_identity_tells_a_changed_guide_apart(load):
    trainer = Trainer(logger=False)
    first, second = (
        identity(GuidedGeneration("shapes", load(code).Dark()), trainer, "fit")
        for code in (CODE, CODE.replace("pixels.mean", "-pixels.mean", 1))
    )
    assert first.pop("sources") != second.pop("sources")
    assert first == second
    plain = identity(GuidedGeneration("shapes", Symmetry()), trainer, "fit")
    assert "sources" not in plain
