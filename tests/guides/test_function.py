"""Losses from functions, modules and metrics that know nothing of guides."""

import pytest
import torch
from torch import nn
from torchmetrics.image import TotalVariation

from doodl.guides import Function, Guide


class Dark(nn.Module):
    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, pixels):
        return self.weight * pixels.mean(dim=(1, 2, 3))


@pytest.fixture
def pixels():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 3, 8, 8, generator=generator).requires_grad_()


def test_a_module_is_frozen_and_gives_its_losses(pixels):
    guide = Function(Dark(2.0))
    losses = guide(pixels, {})
    assert torch.equal(losses, 2 * pixels.mean(dim=(1, 2, 3)))
    losses.sum().backward()
    assert guide.function.weight.grad is None
    torch.testing.assert_close(pixels.grad, torch.full_like(pixels, 2 / 192))


def test_a_metric_of_torchmetrics_is_a_loss_and_keeps_no_graph(pixels):
    metric = TotalVariation(reduction="none")
    guide = Function(metric)
    for _ in range(2):
        losses = guide(pixels, {})
        rows = (pixels[:, :, 1:] - pixels[:, :, :-1]).abs().sum(dim=(1, 2, 3))
        columns = (pixels[..., 1:] - pixels[..., :-1]).abs().sum(dim=(1, 2, 3))
        torch.testing.assert_close(losses, rows + columns)
        assert torch.autograd.grad(losses.sum(), pixels)[0].abs().sum() > 0
        assert metric.score_list == []


def test_a_metric_squeezes_the_loss_of_one_picture(pixels):
    guide = Function(TotalVariation(reduction="none"))
    alone = [guide(pixels[i : i + 1], {}) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), guide(pixels, {}))


def test_one_loss_for_all_pictures_is_refused(pixels):
    with pytest.raises(
        ValueError, match=r"one loss a picture, \(3,\), from the function"
    ):
        Function(TotalVariation())(pixels, {})


def test_a_guide_can_be_made_from_a_callable(pixels):
    guide = Guide.from_callable(lambda p: p.mean(dim=(1, 2, 3)))
    assert type(guide) is Function
    assert torch.equal(guide(pixels, {}), pixels.mean(dim=(1, 2, 3)))
    with pytest.raises(ValueError, match="function from pixels .* received int"):
        Guide.from_callable(3)
