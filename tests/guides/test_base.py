import torch

from doodl.guides.base import Guide, freeze, repeat


class Brightness(Guide):
    """A guide with a network that behaves differently in training."""

    def __init__(self):
        super().__init__()
        self.network = freeze(torch.nn.Dropout(0.5))

    def forward(self, pixels, targets):
        return (self.network(pixels).mean(dim=(1, 2, 3)) - targets["level"]).abs()


def test_a_guide_cannot_be_put_into_training():
    guide = Brightness()
    parent = torch.nn.Sequential(guide).train()
    assert parent.training
    assert not guide.training
    assert not guide.network.training


def test_frozen_weights_take_no_gradient_and_let_it_through(generator):
    network = freeze(torch.nn.Linear(3, 1))
    x = torch.rand(2, 3, generator=generator, requires_grad=True)
    network(x).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in network.parameters())


def test_the_score_is_minus_the_loss_unless_said_otherwise(generator):
    guide = Brightness()
    pixels = torch.rand(2, 3, 4, 4, generator=generator)
    targets = {"level": torch.tensor([0.2, 0.9])}
    assert torch.equal(guide.score(pixels, targets), -guide(pixels, targets))


def test_the_only_term_is_the_loss_unless_said_otherwise(generator):
    guide = Brightness()
    pixels = torch.rand(2, 3, 4, 4, generator=generator)
    targets = {"level": torch.tensor([0.2, 0.9])}
    terms = guide.terms(pixels, targets)
    assert list(terms) == ["loss"]
    assert torch.equal(terms["loss"], guide(pixels, targets))


def test_targets_are_repeated_beside_each_other():
    targets = {"a": torch.tensor([[1, 2], [3, 4]]), "b": torch.tensor([5, 6])}
    repeated = repeat(targets, 2)
    assert repeated["a"].tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert repeated["b"].tolist() == [5, 5, 6, 6]
    assert repeat({}, 2) == {}
