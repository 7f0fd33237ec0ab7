import pytest
import torch

from doodl.shapes.attributes import HEADS, IGNORED, attributes, readings, said
from doodl.shapes.judge import matches
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
    assert all(matches(seen, caption) for seen, caption in pairs)


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
    assert matches(seen, "a green heart above a red ring")
    assert matches(seen, "a red ring below a green heart on a grey background")
    assert matches(seen, "a red ring and a green heart")
    assert not matches(seen, "a red ring above a green heart")
    assert not matches(seen, "a green heart left of a red ring")
    assert not matches(seen, "a green heart above a red ring on a black background")
    assert not matches(seen, "a green heart")
    assert not matches(seen, "a patterned green heart above a red ring")


def test_a_foreign_prompt_has_no_verdict():
    assert matches({}, "a zebra in the rain") is None
    with pytest.raises(ValueError, match="zebra"):
        readings("a red zebra")


def test_labels_that_are_not_said_are_ignored():
    scenes = draw_scenes(500, torch.Generator().manual_seed(1))
    labels, spoken = attributes(scenes), said(scenes)
    for head, values in spoken.items():
        kept = values != IGNORED
        assert torch.equal(values[kept], labels[head][kept])
    assert (spoken["background"][~scenes.says_background] == IGNORED).all()
