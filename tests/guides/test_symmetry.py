import torch

from doodl.generation import Generation
from doodl.guides.symmetry import Symmetry


def test_a_symmetric_picture_has_no_loss(generator):
    half = torch.rand(2, 3, 4, 3, generator=generator)
    assert Symmetry()(torch.cat([half, half.flip(-1)], dim=-1), {}).tolist() == [0, 0]


def test_the_loss_is_the_mean_squared_difference_of_each_picture():
    pixels = torch.zeros(2, 3, 1, 2)
    pixels[1, :, :, 0] = 0.5
    assert Symmetry()(pixels, {}).tolist() == [0, 0.25]


def test_gradient_equals_finite_differences(generator):
    pixels = torch.rand(2, 3, 3, 4, generator=generator, dtype=torch.float64)
    pixels.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: Symmetry()(x, {}), pixels)


def test_it_needs_no_network_and_no_targets():
    guide = Symmetry()
    guide.load("cpu")
    assert guide.input_size is None
    assert guide.prepare([Generation("a cat", 0)]) == {}
    assert not list(guide.parameters())
