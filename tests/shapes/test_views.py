import torch

from doodl.shapes.views import resample, views


def test_every_second_picture_is_whole_and_the_others_are_crops_of_40_px_or_more(
    generator,
):
    _, frame = views(torch.zeros(200, 3, 64, 64), generator)
    whole = torch.eye(2, 3).expand(100, -1, -1)
    assert torch.equal(frame[::2], whole)
    sides = 64 * frame[1::2, 0, 0]
    assert 40 <= sides.min() < 45
    assert 59 < sides.max() <= 64
    assert torch.equal(frame[:, 0, 0], frame[:, 1, 1])


def test_crops_stay_inside_the_picture(generator):
    _, frame = views(torch.zeros(200, 3, 64, 64), generator)
    reach = frame[:, 0, 0, None] + frame[:, :, 2].abs()
    assert reach.max() <= 1 + 1e-6


def test_a_whole_view_is_the_picture_with_little_noise(generator):
    pixels = torch.rand(2, 3, 64, 64, generator=generator)
    seen, _ = views(pixels, generator)
    noise = (seen - pixels)[0]
    assert 0 < noise.std() <= 0.031


def test_a_half_sized_frame_sees_the_middle(generator):
    pixels = torch.rand(1, 1, 8, 8, generator=generator)
    frame = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]])
    seen = resample(pixels, frame, "nearest")
    middle = pixels[:, :, 2:6, 2:6]
    assert torch.equal(seen, middle.repeat_interleave(2, 2).repeat_interleave(2, 3))
