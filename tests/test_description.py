"""What an object was constructed with, whatever has become of it since."""

import copy
import functools
import inspect
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from doodl.description import Described, describe
from doodl.guides import Aesthetic, CLIPText, Ensemble, Guide, Symmetry


class Reader(Guide):
    """A user's guide that keeps none of its arguments under their names."""

    def __init__(self, words: list[str], *, strength: float = 2.0, **more: int) -> None:
        super().__init__()
        self.something = len(words) * strength

    def forward(self, pixels, targets):
        return self.something * pixels.mean(dim=(1, 2, 3))


class Plain:
    def __init__(self, size, hidden=3):
        self.size, self.other = size, hidden


@dataclass
class Settings:
    rate: float = 0.1


def described(kind, **arguments):
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}"} | {
        "init_args": arguments
    }


def test_a_users_guide_is_described_though_it_stores_nothing_by_name():
    guide = Reader(["a"], more=7)
    expected = described(Reader, words=["a"], strength=2.0, more=7)
    assert describe(guide) == expected


def test_a_list_that_is_changed_later_is_described_as_it_was_given():
    words = ["a"]
    guide = Reader(words)
    words.append("b")
    assert describe(guide)["init_args"]["words"] == ["a"]


def test_an_ensemble_is_described_with_its_members_before_and_after_loading(shapes):
    guide = Ensemble(
        [
            CLIPText("shapes/guide", guide_prompt="a ring"),
            Aesthetic("shapes/guide", "shapes/aesthetic"),
        ],
        weights=[1, 3],
    )
    before = describe(guide)
    assert before["init_args"]["guides"] == [
        described(CLIPText, model="shapes/guide", guide_prompt="a ring"),
        described(Aesthetic, model="shapes/guide", head="shapes/aesthetic", target=10),
    ]
    assert before["init_args"]["weights"] == [1, 3]
    guide.load()
    assert describe(guide) == before
    json.dumps(before)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, copy.copy, lambda guide: pickle.loads(pickle.dumps(guide))]
)
def test_copies_are_described_alike(again):
    guide = Ensemble([Symmetry(), CLIPText("4")])
    other = again(guide)
    assert describe(other) == describe(guide)
    assert len(other.guides) == 2


def test_a_guide_constructed_by_jsonargparse_is_described_with_its_defaults():
    jsonargparse = pytest.importorskip("jsonargparse")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--guide", type=Guide)
    arguments = ["--guide", "doodl.guides.CLIPText", "--guide.model", "4"]
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
    found = instantiate(parser.parse_args(arguments)).guide
    assert describe(found) == describe(CLIPText("4"))


def test_signatures_and_help_are_those_of_the_constructor(capsys):
    jsonargparse = pytest.importorskip("jsonargparse")
    names = ["words", "strength", "more"]
    assert list(inspect.signature(Reader).parameters) == names
    assert list(inspect.signature(CLIPText).parameters) == ["model", "guide_prompt"]
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(Guide, "guide")
    with pytest.raises(SystemExit):
        parser.parse_args(["--guide.help", "doodl.guides.CLIPText"])
    assert "--guide.guide_prompt" in capsys.readouterr().out


def test_any_class_can_be_described():
    class Point(Described):
        def __init__(self, x, *others, y=2):
            self.total = x + y + sum(others)

    found = describe(Point(1, 5, 6))["init_args"]
    assert found == {"x": 1, "others": [5, 6], "y": 2}
    assert list(inspect.signature(Point).parameters) == ["x", "others", "y"]


def test_wrong_arguments_are_refused_by_the_constructor_itself():
    with pytest.raises(TypeError, match=r"Reader.__init__\(\) missing 1 required"):
        Reader()


def test_nothing_is_registered_in_a_module():
    guide = Ensemble([Symmetry()])
    assert list(guide.state_dict()) == []
    assert [name for name, _ in guide.named_modules()] == ["", "guides", "guides.0"]


def test_other_objects_are_described_by_the_attributes_named_like_arguments():
    assert describe(Plain(4)) == described(Plain, size=4)
    assert describe(Settings()) == described(Settings, rate=0.1)
    found = describe(nn.Linear(2, 3))["init_args"]
    assert found == {"in_features": 2, "out_features": 3}


def test_functions_have_names_and_partials_their_arguments():
    assert describe(torch.relu).endswith("relu")
    assert describe(Plain) == f"{__name__}.Plain"
    found = describe(functools.partial(Plain, 3, hidden=[1]))
    assert found == {
        "function": f"{__name__}.Plain",
        "args": [3],
        "keywords": {"hidden": [1]},
    }


def test_values_are_what_json_has():
    found = describe({"a": (1, None), 2: Path("x"), "t": torch.float32, "s": {2, 1}})
    assert found == {"a": [1, None], "2": "x", "t": "torch.float32", "s": [1, 2]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool])
def test_tensors_are_told_apart_by_their_numbers(dtype):
    one, two = torch.tensor([1, 0]).to(dtype), torch.tensor([1, 1]).to(dtype)
    assert describe(one) == describe(one.clone())
    assert describe(one) != describe(two)
    json.dumps([describe(one), describe(torch.tensor(2.0))])


def test_numbers_arrays_and_bytes_are_told_apart_by_their_content():
    assert describe(np.float32(0.5)) == 0.5
    assert describe({"n": np.int64(3), "b": np.bool_(True)}) == {"n": 3, "b": True}
    values = [np.zeros(2), np.ones(2), np.zeros(2, int), b"a", b"b", np.array(["a", 1])]
    found = [json.dumps(describe(value)) for value in values]
    assert len(set(found)) == len(found)
    assert describe(np.zeros(2)) == describe(np.zeros(2))


def test_an_object_that_holds_itself_has_an_end():
    outer = Plain(1)
    outer.size = [outer]
    assert describe(outer)["init_args"]["size"] == [{"class_path": f"{__name__}.Plain"}]


def test_an_object_with_slots_is_described_by_them():
    class Slotted:
        __slots__ = ("size",)

        def __init__(self, size):
            self.size = size

    assert describe(Slotted(3))["init_args"] == {"size": 3}
