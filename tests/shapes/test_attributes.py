import pytest
import torch

from doodl import images
from doodl.generation import Generation
from doodl.shapes.attributes import HEADS, IGNORED, attributes, readings, said
from doodl.shapes.judge import AttributeJudge, matches
from doodl.shapes.scenes import draw_scenes


def described(scenes):
    labels = attributes(scenes)
    return [
        {
            head: classes[max(labels[head][i].item(), 0)]
            for head, classes in HEADS.items()
        }
        for i in range(len(scenes))
    ]


def test_every_scene_matches_its_own_caption():
    scenes = draw_scenes(2000, torch.Generator().manual_seed(0), held_out="with")
    pairs = zip(described(scenes), scenes.captions(), strict=True)
    assert all(matches(seen, readings(caption)) for seen, caption in pairs)


def test_a_swapped_relation_does_not_match():
    seen = {
        "layout": "vertical",
        "background": "grey",
        "first_kind": "heart",
        "first_colour": "green",
        "first_pattern": "plain",
        "second_kind": "ring",
        "second_colour": "red",
        "second_pattern": "plain",
        "size": "small",
    }

    def fits(caption):
        return matches(seen, readings(caption))

    assert fits("a green heart above a red ring")
    assert fits("a red ring below a green heart on a grey background")
    assert fits("a red ring and a green heart")
    assert not fits("a red ring above a green heart")
    assert not fits("a green heart left of a red ring")
    assert not fits("a green heart above a red ring on a black background")
    assert not fits("a green heart")
    assert not fits("a patterned green heart above a red ring")


def test_a_foreign_prompt_has_no_verdict():
    judge = AttributeJudge()
    assert judge.wanted(Generation("a zebra in the rain", 0)) is None
    assert judge.wanted(Generation("a red ring", 0, target="goldfinch")) is None
    assert matches({}, None) is None
    with pytest.raises(ValueError, match="zebra"):
        readings("a red zebra")


def test_a_target_class_is_asked_for_beside_the_prompt():
    generation = Generation("a patterned blue shape", 0, target="striped house")
    (wanted,) = AttributeJudge().wanted(generation)
    assert wanted["first_kind"] == {"house"}
    assert wanted["first_pattern"] == {"striped"}
    assert wanted["first_colour"] == {"blue"}
    assert wanted["layout"] == {"one"}


def test_a_picture_asks_for_its_own_object(tmp_path):
    class Sees(AttributeJudge):
        network = torch.nn.Linear(1, 1)
        count = 0

        def describe(self, pixels):
            self.count += 1
            names = {"kind": "heart", "colour": "yellow", "pattern": "dotted"}
            return [{f"first_{k}": v for k, v in names.items()}]

    path = str(tmp_path / "heart.png")
    images.save(torch.zeros(3, 70, 64), path)
    judge, generation = Sees(), Generation("a patterned heart", 0, image=path)
    for _ in range(2):
        (wanted,) = judge.wanted(generation)
    assert judge.count == 1
    assert wanted == {
        "layout": {"one"},
        "first_kind": {"heart"},
        "first_colour": {"yellow"},
        "first_pattern": {"dotted"},
    }


def test_labels_that_are_not_said_are_ignored():
    scenes = draw_scenes(500, torch.Generator().manual_seed(1))
    labels, spoken = attributes(scenes), said(scenes)
    for head, values in spoken.items():
        kept = values != IGNORED
        assert torch.equal(values[kept], labels[head][kept])
    assert (spoken["background"][~scenes.says_background] == IGNORED).all()
