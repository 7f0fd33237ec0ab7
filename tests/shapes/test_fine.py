import pytest
import torch
from torch import nn

from doodl.generation import Generation
from doodl.guides import Classifier
from doodl.shapes.fine import (
    CLASSES,
    CLASSIFIERS,
    draw_singles,
    fine_accuracy,
    save_classifier,
)
from doodl.shapes.renderer import render
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.words import KINDS, PATTERNS


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_class_names_pattern_and_kind_of_the_only_object():
    scenes, classes = draw_singles(200, generator())
    assert scenes.present[:, 0].all()
    assert not scenes.present[:, 1:].any()
    kinds, patterns = scenes.kind[:, 0].tolist(), scenes.pattern[:, 0].tolist()
    names = [f"{PATTERNS[p]} {KINDS[k]}" for k, p in zip(kinds, patterns, strict=True)]
    assert [CLASSES[c] for c in classes] == names


def test_rare_kinds_and_patterns_are_drawn_as_often_as_others():
    counts = draw_singles(4800, generator())[1].bincount(minlength=len(CLASSES))
    assert 60 < counts.min() <= counts.max() < 140


def test_no_caption_says_the_name_of_a_class():
    captions = draw_scenes(2000, generator(), held_out="with").captions()
    assert not [c for c in captions if any(name in c for name in CLASSES)]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_saved_classifier_guides_by_the_names_of_its_classes(name, tmp_path):
    torch.manual_seed(0)
    network = CLASSIFIERS[name].make().eval()
    save_classifier(network, tmp_path, name)
    guide = Classifier(str(tmp_path), "dotted arrow")
    guide.load()
    assert guide.input_size == 64
    assert list(guide.names.values()) == list(CLASSES)
    target = guide.prepare([Generation("a shape", 0)])
    assert CLASSES[target["class"]] == "dotted arrow"
    pixels = render(draw_singles(2, generator())[0])
    rounded = network.half().float()
    torch.testing.assert_close(guide.logits(pixels), rounded((pixels - 0.5) / 0.5))


def test_the_same_answer_to_everything_is_right_as_often_as_its_class_is_drawn():
    class Stubborn(nn.Module):
        def forward(self, x):
            return torch.eye(len(CLASSES))[7].expand(len(x), -1)

    classes = draw_singles(300, generator(8))[1].tolist()
    expected = classes.count(7) / 300
    assert fine_accuracy(Stubborn(), seed=8, count=300) == pytest.approx(expected)
    assert expected > 0


def test_guide_and_judge_share_neither_architecture_nor_draws():
    guide, judge = CLASSIFIERS.values()
    assert guide.name != judge.name
    assert guide.quarter % 2 == 0
    assert judge.quarter % 2 == 1
