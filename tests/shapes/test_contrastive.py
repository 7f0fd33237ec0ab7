import torch
from torch.nn.functional import normalize

from doodl.shapes.contrastive import ContrastiveTraining, contrastive_loss


def unit(*shape, generator):
    return normalize(torch.randn(shape, generator=generator), dim=1)


def test_the_loss_of_matching_embeddings_vanishes_with_the_scale(generator):
    x = unit(4, 16, generator=generator)
    captions = list("abcd")
    matching = contrastive_loss(x, x, torch.tensor(100.0), captions)
    swapped = contrastive_loss(x, x.roll(1, 0), torch.tensor(100.0), captions)
    assert matching < 1e-3 < swapped


def test_a_caption_that_stands_twice_is_right_for_both_pictures(generator):
    x, y = (unit(3, 8, generator=generator) for _ in range(2))
    y[1] = y[0]
    captions = ["a", "a", "b"]
    swapped = contrastive_loss(x[[1, 0, 2]], y, torch.tensor(5.0), captions)
    torch.testing.assert_close(
        contrastive_loss(x, y, torch.tensor(5.0), captions), swapped
    )


def test_only_a_rated_guide_learns_the_rating(generator):
    guide = ContrastiveTraining("guide", steps=1)
    guide.log = lambda *args: None
    loss = guide.rated(generator)
    (grad,) = torch.autograd.grad(loss, guide.clip.visual.conv1.weight)
    assert grad.abs().max() > 0
    assert ContrastiveTraining("guide_c", steps=1).rater is None
