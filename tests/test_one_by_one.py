"""One input at a time: the same losses and gradient, one input's activations."""

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from doodl.one_by_one import one_by_one


class Wide:
    """A function with a large activation, which counts how many are alive."""

    def __init__(self):
        self.activations, self.calls, self.most = [], 0, 0

    def __call__(self, z, scale):
        hidden = (z * scale).repeat(1, 100).sin()
        self.activations.append(StorageWeakRef(hidden.untyped_storage()))
        self.calls += 1
        alive = sum(not storage.expired() for storage in self.activations)
        self.most = max(self.most, alive)
        return hidden.square().sum(dim=1), hidden[:, :2].detach().clone()


@pytest.fixture
def inputs(generator):
    z = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    return z.requires_grad_(), torch.arange(1.0, 6.0)[:, None]


def test_the_result_and_the_gradient_are_those_of_all_at_once(inputs):
    together, apart = Wide()(*inputs), one_by_one(Wide(), *inputs)
    torch.testing.assert_close(apart, together)
    assert not apart[1].requires_grad
    together, apart = together[0], apart[0]
    weights = torch.arange(5.0, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((result * weights).sum(), inputs[0])
        for result in (apart, together)
    )
    torch.testing.assert_close(found, expected)


def test_the_activations_of_one_input_are_alive_at_a_time(inputs):
    apart, kept = Wide(), Wide()
    one_by_one(apart, *inputs)[0].sum().backward()
    assert (apart.most, apart.calls) == (1, 5)
    graphs = [kept(z[None], s[None])[0] for z, s in zip(*inputs, strict=True)]
    assert kept.most == len(graphs) == 5


def test_forward_keeps_the_gradient_only(inputs):
    found, _ = one_by_one(Wide(), *inputs)
    kept = found.grad_fn.saved_tensors
    assert [tensor.shape for tensor in kept] == [inputs[0].shape]


def test_the_gradient_cannot_be_differentiated_again(inputs):
    loss = one_by_one(Wide(), *inputs)[0].square().sum()
    (gradient,) = torch.autograd.grad(loss, inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_without_a_gradient_each_input_is_seen_once(inputs):
    wide = Wide()
    with torch.no_grad():
        found = one_by_one(wide, *inputs)
    assert wide.calls == 5
    torch.testing.assert_close(found, Wide()(*inputs))
