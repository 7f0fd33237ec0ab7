"""The renderer's rating as a guide and judge."""

import torch

from doodl.shapes.judge import Rating
from doodl.shapes.renderer import rating


def test_the_rating_is_a_guide_that_scores_as_the_renderer_does(generator):
    pixels = torch.rand(2, 3, 64, 64, generator=generator)
    assert torch.equal(Rating().score(pixels, {}), rating(pixels))
