import pytest
import torch

from doodl.guides import Aesthetic
from doodl.pretrained import load_clip
from doodl.shapes.aesthetic import (
    correlation,
    draw_rated,
    fit_head,
    ridge,
    save_head,
)
from doodl.shapes.renderer import rating


@pytest.fixture
def points(generator):
    """Regressors (50, 4) and values (50,) off the origin, in float64."""
    x = 3 + torch.randn(50, 4, generator=generator, dtype=torch.float64)
    y = x @ torch.arange(4.0, dtype=torch.float64) - 7
    return x, y + torch.randn(50, generator=generator, dtype=torch.float64)


def test_without_penalty_a_ridge_is_least_squares(points):
    x, y = points
    w, b = ridge(x, y, 1e-14)
    ones = torch.ones(len(x), 1, dtype=x.dtype)
    expected = torch.linalg.lstsq(torch.cat((x, ones), 1), y[:, None]).solution[:, 0]
    torch.testing.assert_close(torch.cat((w[0], b)), expected, rtol=1e-9, atol=1e-9)


def test_a_ridge_is_where_the_penalised_loss_is_flat(points):
    x, y = points
    w, b = (value.requires_grad_() for value in ridge(x, y, 0.3))
    loss = (y - x @ w[0] - b).square().mean() + 0.3 * w.square().sum()
    for slope in torch.autograd.grad(loss, (w, b)):
        assert slope.abs().max() < 1e-12


def test_rated_pictures_cover_the_scale(generator):
    pixels, ratings = draw_rated(300, generator)
    assert pixels.shape == (300, 3, 64, 64)
    assert 0 <= pixels.min() < pixels.max() <= 1
    torch.testing.assert_close(ratings, rating(pixels))
    assert 1 <= ratings.min() < 2.5
    assert 8 < ratings.max() <= 10


def test_a_saved_head_has_laions_layout_and_guides(tmp_path, generator):
    weight, bias = fit_head(load_clip("shapes/guide"), count=640)
    assert weight.shape == (1, 128)
    assert bias.shape == (1,)
    save_head(weight, bias, tmp_path)
    aesthetic = Aesthetic("shapes/guide", str(tmp_path))
    aesthetic.load()
    assert torch.equal(aesthetic.weight, weight)
    pixels, ratings = draw_rated(128, generator)
    error = (aesthetic.rate(pixels) - ratings).square().mean()
    assert error < 0.7 * ratings.var()


def test_the_truth_correlates_with_itself():
    assert correlation(rating, count=50) == pytest.approx(1)
    assert correlation(lambda pixels: -rating(pixels), count=50) == pytest.approx(-1)
