import pytest
import torch
from torch.nn.functional import avg_pool2d

from doodl.shapes.autoencoder import edge_loss


def test_the_edge_loss_is_blind_to_brightness_and_sees_blur(generator):
    images = torch.rand(2, 3, 8, 8, generator=generator)
    assert edge_loss(images, images) == 0
    assert edge_loss(images + 0.3, images).item() == pytest.approx(0, abs=1e-6)
    assert edge_loss(avg_pool2d(images, 3, 1, 1), images) > 0.1


def test_the_edge_loss_is_the_mean_absolute_error_of_the_steps():
    step = torch.zeros(1, 1, 2, 2)
    step[..., 1] = 1  # a step of 1 across, none down
    assert edge_loss(torch.zeros_like(step), step) == 0.5
