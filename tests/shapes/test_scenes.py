import pytest
import torch

from doodl.shapes.attributes import attributes
from doodl.shapes.renderer import render
from doodl.shapes.scenes import concatenate, draw_scenes
from doodl.shapes.twins import swap_order, twins
from doodl.shapes.words import COLOURS, HELD_OUT, KINDS


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def combinations(scenes):
    there = scenes.present
    return {
        (COLOURS[c], KINDS[k])
        for c, k in zip(
            scenes.colour[there].tolist(), scenes.kind[there].tolist(), strict=True
        )
    }


def test_a_seed_fixes_the_scenes():
    a, b = draw_scenes(8, generator(3)), draw_scenes(8, generator(3))
    assert a.captions() == b.captions()
    assert torch.equal(a.texture, b.texture)


def test_held_out_combinations_stay_out_of_training():
    assert not combinations(draw_scenes(4000, generator())) & set(HELD_OUT)


def test_held_out_combinations_are_all_there_for_the_judges():
    scenes = draw_scenes(4000, generator(), held_out="with")
    assert combinations(scenes) >= set(HELD_OUT)


def test_unusual_scenes_hold_nothing_but_held_out_combinations():
    scenes = draw_scenes(500, generator(), held_out="only")
    assert combinations(scenes) <= set(HELD_OUT)


@pytest.mark.parametrize("pairs", [0.0, 1.0])
def test_objects_are_inside_the_frame_and_apart(pairs):
    scenes = draw_scenes(2000, generator(), pairs=pairs)
    reach = scenes.radius[..., None] * scenes.present[..., None]
    low = (scenes.centre - reach)[scenes.present]
    high = (scenes.centre + reach)[scenes.present]
    assert low.min() > -1
    assert high.max() < 65
    gap = (scenes.centre[:, 0] - scenes.centre[:, 1]).norm(dim=-1)
    apart = gap > scenes.radius[:, 0] + scenes.radius[:, 1]
    assert apart[scenes.present[:, 1]].all()


def test_twins_differ_in_the_caption_and_share_the_rest():
    scenes = draw_scenes(1000, generator())
    others = twins(scenes, generator(1))
    same = [a == b for a, b in zip(scenes.captions(), others.captions(), strict=True)]
    assert sum(same) < 50
    assert torch.equal(scenes.texture, others.texture)
    assert torch.equal(scenes.radius, others.radius)


def test_unnamed_kinds_are_only_called_shape():
    scenes = draw_scenes(3000, generator())
    words = {word for caption in scenes.captions() for word in caption.split()}
    assert not words & set(KINDS[8:])
    assert "shape" in words


def test_concatenated_scenes_keep_their_order():
    a, b = draw_scenes(3, generator()), draw_scenes(2, generator(1))
    assert concatenate(a, b).captions() == a.captions() + b.captions()


def test_the_other_order_is_another_caption_of_the_same_picture():
    scenes = draw_scenes(200, generator(), pairs=0.8)
    others = swap_order(scenes, generator(1))
    torch.testing.assert_close(render(others), render(scenes), rtol=0, atol=1e-6)
    for label, other in zip(
        attributes(scenes).values(), attributes(others).values(), strict=True
    ):
        assert torch.equal(label, other)
    two = scenes.present[:, 1]
    assert torch.equal(others.kind[two, 0], scenes.kind[two, 1])
    assert torch.equal(others.kind[~two], scenes.kind[~two])
