import torch

from doodl.shapes.renderer import PALETTE, rating, render, segment
from doodl.shapes.scenes import draw_scenes
from doodl.shapes.words import KINDS


def scenes(count: int = 24, **options):
    return draw_scenes(count, torch.Generator().manual_seed(0), **options)


def test_pixels_are_in_range_and_repeatable():
    pixels = render(scenes())
    assert pixels.shape == (24, 3, 64, 64)
    assert 0 <= pixels.min() < pixels.max() <= 1
    assert torch.equal(pixels, render(scenes()))


def test_a_picture_does_not_depend_on_its_neighbours():
    together = render(scenes())
    alone = render(scenes()[5:6])
    torch.testing.assert_close(together[5:6], alone, rtol=0, atol=1e-6)


def test_an_object_has_its_colour_where_it_is():
    some = scenes(200, pairs=0.0)
    some = some.replace(
        pattern=torch.zeros_like(some.pattern), vividness=torch.ones(200)
    )
    pixels, owner = render(some), segment(some)
    for i in range(200):
        inside = pixels[i][:, owner[i] == 1]
        assert inside.numel(), KINDS[some.kind[i, 0]]
        expected = PALETTE[some.colour[i, 0]]
        assert (inside.median(dim=1).values - expected).abs().max() < 0.15


def test_a_grey_picture_has_the_lowest_rating_and_a_vivid_one_a_higher():
    grey = torch.full((1, 3, 64, 64), 0.5)
    checks = torch.zeros(1, 3, 64, 64)
    checks[:, 0, :32] = 1
    checks[:, 2, 32:] = 1
    assert rating(grey).item() == 1
    assert rating(checks).item() > 5
    assert rating(render(scenes())).max() <= 10
