import pytest
import torch

from doodl.guides.cutouts import cutout, cutouts_vary, full_frame, resize


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture
def pixels(generator):
    return torch.rand(2, 3, 24, 32, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("cutout_size", [None, 4, 8, 64])
def test_crops_have_the_size_of_the_guide(pixels, cutout_size):
    crops = cutout(pixels, 8, generators(0, 1), num_cutouts=5, cutout_size=cutout_size)
    assert crops.shape == (2, 5, 3, 8, 8)
    assert crops.isfinite().all()


def test_a_crop_is_a_part_of_its_own_picture():
    # Values grow by 1 a row and by 100 a column, so a crop shows where it was taken.
    place = torch.arange(16.0)[:, None] + 100 * torch.arange(16.0)
    pixels = torch.stack([place, place + 1e4])[:, None].expand(2, 3, 16, 16)
    crops = cutout(pixels, 4, generators(0, 1), num_cutouts=64, cutout_power=1e9)
    for picture, crops_of_it in zip(pixels, crops, strict=True):
        corners = {(int(c[0, 0, 0]) % 100, int(c[0, 0, 0]) // 100) for c in crops_of_it}
        assert len(corners) > 20
        for crop in crops_of_it:
            top = int(crop[0, 0, 0]) % 100
            left = int(crop[0, 0, 0] - picture[0, 0, 0]) // 100
            whole = picture[:, top : top + 4, left : left + 4]
            assert torch.equal(crop, whole)


def test_positions_reach_every_corner():
    pixels = torch.arange(36.0).view(1, 1, 6, 6).expand(1, 3, 6, 6)
    crops = cutout(pixels, 4, generators(0), num_cutouts=200, cutout_power=1e9)
    starts = crops[0, :, 0, 0, 0].int().tolist()
    assert set(starts) == {0, 1, 2, 6, 7, 8, 12, 13, 14}


def test_power_zero_takes_the_largest_crops_only(pixels):
    square = pixels[..., :24]
    crops = cutout(square, 8, generators(0, 1), num_cutouts=3, cutout_power=0)
    frame = full_frame(square, 8)
    assert torch.allclose(crops, frame.expand(-1, 3, -1, -1, -1))


def test_a_picture_gets_the_same_crops_in_any_batch(pixels):
    both = cutout(pixels, 8, generators(3, 4))
    alone = cutout(pixels[1:], 8, generators(4))
    assert torch.equal(both[1:], alone)


def test_crops_do_not_touch_the_global_random_state(pixels):
    state = torch.get_rng_state()
    cutout(pixels, 8, generators(0, 1))
    assert torch.equal(torch.get_rng_state(), state)


def test_gradient_equals_finite_differences(generator):
    pixels = torch.rand(1, 3, 6, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: cutout(x, 3, generators(0), num_cutouts=4, cutout_size=2),
        pixels.requires_grad_(),
    )


@pytest.mark.parametrize("shape", [(8, 8), (20, 16), (5, 4), (4, 20)])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_plain_picture_stays_plain_at_any_size(shape, value):
    resized = resize(torch.full((1, 3, *shape), value), 8)
    assert resized.shape == (1, 3, 8, 8)
    assert torch.allclose(resized, torch.tensor(value))


def test_a_picture_of_the_right_size_is_not_changed(pixels):
    square = pixels[..., :24]
    assert torch.equal(full_frame(square, 24)[:, 0], square)
    assert torch.equal(full_frame(pixels, None)[:, 0], pixels)


@pytest.mark.parametrize(
    ("height", "width", "cutout_size", "expected"),
    [(64, 64, 40, True), (64, 64, 64, False), (64, 64, 224, False), (64, 96, 64, True)],
)
def test_crops_vary_only_where_they_have_room(height, width, cutout_size, expected):
    assert cutouts_vary(height, width, cutout_size) is expected
    pixels = torch.rand(1, 3, height, width, generator=generators(0)[0])
    crops = cutout(pixels, 8, generators(1), cutout_size=cutout_size)[0]
    assert bool((crops != crops[0]).any()) is expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_cutouts": 0}, "num_cutouts of at least 1, received 0"),
        ({"cutout_size": 0}, "cutout_size of at least 1, received 0"),
        ({"cutout_power": -0.5}, "cutout_power of 0 or more, received -0.5"),
        ({"cutout_power": float("nan")}, "cutout_power of 0 or more, received nan"),
    ],
)
def test_impossible_settings_are_refused(pixels, settings, message):
    with pytest.raises(ValueError, match=message):
        cutout(pixels, 8, generators(0, 1), **settings)


def test_every_picture_needs_its_generator(pixels):
    with pytest.raises(ValueError, match="each of 2 images, received 1"):
        cutout(pixels, 8, generators(0))
