"""The approximate gradient: what it ignores, where it is exact; what adjoints cost."""

import weakref

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from doodl.sampling import memory
from doodl.sampling.adjoints import (
    BudgetAdjoint,
    CheckpointAdjoint,
    CheckpointBudgetAdjoint,
    DirectAdjoint,
    ReversibleAdjoint,
    StraightThroughAdjoint,
    gradient_calls,
    repeats,
    reverses,
)
from doodl.sampling.chain import run
from doodl.sampling.ddim import DDIM
from doodl.sampling.edict import EDICT
from doodl.sampling.schedule import Schedule
from schedules import SD

METHODS = {"edict": EDICT(0.8), "ddim": DDIM()}
STRAIGHT = StraightThroughAdjoint()
EXACT = [
    DirectAdjoint(),
    CheckpointAdjoint(),
    ReversibleAdjoint(),
    BudgetAdjoint(gib=0),
    BudgetAdjoint(gib=1),
    CheckpointBudgetAdjoint(gib=0),
    CheckpointBudgetAdjoint(gib=1),
]


class Network:
    """A small convolutional network; no module, to count FLOPs."""

    def __init__(self, dtype=torch.float64):
        generator = torch.Generator().manual_seed(5)
        self.inner, self.outer = (
            torch.randn(shape, generator=generator).to(dtype) / 4
            for shape in ((6, 2, 3, 3), (2, 6, 3, 3))
        )
        self.calls = 0
        self.dtypes = []

    def __call__(self, z, t):
        self.calls += 1
        hidden = conv2d(z, self.inner, padding=1)
        self.dtypes.append(hidden.dtype)
        hidden = torch.tanh(hidden + t / 1000)
        return conv2d(hidden, self.outer, padding=1)


def chain(method, num_steps=10):
    steps = Schedule.from_config(SD).steps(num_steps)
    return METHODS[method].moves(steps)


def constant(z, t):
    return torch.full_like(z, t / 1000)


@pytest.fixture
def network():
    return Network()


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture
def state(method, generator):
    """Latents of a method, different ones of a pair."""
    shape = METHODS[method].num_latents, 1, 2, 3, 3
    return torch.randn(shape, generator=generator, dtype=torch.float64).unbind()


def loss(state):
    weights = torch.arange(state[0].numel()).view(state[0].shape).to(state[0])
    return (state[0].sin() * weights).sum() + (state[-1] ** 2).sum()


def gradient(adjoint, moves, network, state):
    leaves = tuple(z.detach().clone().requires_grad_() for z in state)
    loss(adjoint(moves, network, leaves)).backward()
    return torch.stack([z.grad for z in leaves])


def test_forward_is_the_plain_chain_bit_for_bit(method, network, state):
    moves = chain(method)
    leaves = tuple(z.clone().requires_grad_() for z in state)
    found = torch.stack(STRAIGHT(moves, network, leaves))
    assert found.requires_grad
    assert torch.equal(found, torch.stack(run(moves, network, state)))


def test_straight_through_differentiates_no_call(method, network, state):
    def frozen(z, t):
        return network(z.detach(), t)

    moves = chain(method)
    expected = gradient(DirectAdjoint(), moves, frozen, state)
    found = gradient(STRAIGHT, moves, network, state)
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_network_that_ignores_the_latent_has_the_exact_gradient(method, state):
    direct = gradient(DirectAdjoint(), chain(method), constant, state)
    found = gradient(STRAIGHT, chain(method), constant, state)
    assert torch.allclose(found, direct, rtol=1e-12)


def test_an_estimate_costs_the_calls_and_flops_that_it_says(method, network, state):
    costs(STRAIGHT, method, network, state)


@pytest.mark.parametrize("adjoint", EXACT)
def test_an_exact_adjoint_costs_the_calls_and_flops_that_it_says(
    adjoint, network, generator
):
    pair = torch.randn((2, 1, 2, 3, 3), generator=generator).double().unbind()
    costs(adjoint, "edict", network, pair)


def costs(adjoint, method, network, state):
    """An input gradient has the FLOPs of the call, since the weights are frozen."""
    moves = chain(method)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(state[0], 7)
    one = counter.get_total_flops()
    leaves = tuple(z.clone().requires_grad_() for z in state)
    adjoint(moves, network, leaves)  # a budget measures once
    graph, available = 6 * 9 * 8, 2**40
    said = gradient_calls(adjoint, moves, graph, available)
    network.calls = 0
    with FlopCounterMode(display=False) as counter:
        final = adjoint(moves, network, leaves)
        assert network.calls == said.forward
        loss(final).backward()
    assert network.calls == said.forward + said.repeated
    assert counter.get_total_flops() == one * sum(said)
    assert repeats(adjoint) == (said.repeated > 0) or isinstance(adjoint, BudgetAdjoint)


def test_calls_forward_repeated_and_differentiated():
    assert gradient_calls(STRAIGHT, chain("edict")) == (20, 0, 0)
    assert gradient_calls(STRAIGHT, chain("ddim")) == (10, 0, 0)
    assert gradient_calls(STRAIGHT, []) == (0, 0, 0)


def test_a_budget_says_how_many_calls_fit_and_a_users_adjoint_repeats_all():
    moves = chain("edict")
    for budget in (BudgetAdjoint(), CheckpointBudgetAdjoint()):
        assert gradient_calls(budget, moves, 10, 140) == (20, 13, 20)
        assert gradient_calls(budget, moves, 10, 10**6) == (20, 0, 20)
        assert gradient_calls(budget, moves) == (20, 20, 20)

    def own(moves, predict, state):
        return run(moves, predict, state)

    assert gradient_calls(own, moves) == (20, 20, 20)


def saved_bytes(adjoint, moves, network, state):
    total = 0

    def pack(tensor):
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    leaves = tuple(z.detach().clone().requires_grad_() for z in state)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        adjoint(moves, network, leaves)
    return total


def test_an_estimate_stores_no_graph(method, network, state):
    moves = chain(method)
    assert saved_bytes(DirectAdjoint(), moves, network, state) > 0
    assert saved_bytes(STRAIGHT, moves, network, state) == 0


def test_no_latent_is_kept_where_nobody_asks_for_a_gradient(method, network, state):
    asked, alive = [], []

    def predict(z, t):
        asked.append(weakref.ref(z))
        alive.append(sum(z() is not None for z in asked))
        return network(z, t)

    with torch.no_grad():
        final = STRAIGHT(chain(method), predict, state)
    assert max(alive) <= 2 + len(state)
    assert not any(z.requires_grad for z in final)


def test_latents_keep_their_precision_under_autocast(method, state):
    network, moves = Network(dtype=torch.float32), chain(method)
    leaves = tuple(z.float().requires_grad_() for z in state)
    with torch.autocast("cpu", torch.bfloat16):
        final = STRAIGHT(moves, network, leaves)
    assert all(z.dtype == torch.float32 for z in final)
    loss(final).backward()
    assert set(network.dtypes) == {torch.bfloat16}
    assert all(z.grad.dtype == torch.float32 for z in leaves)


def test_a_chain_can_be_run_again_before_the_gradient_is_taken(method, network, state):
    moves = chain(method)
    once = gradient(STRAIGHT, moves, network, state)
    leaves = tuple(z.clone().requires_grad_() for z in state)
    finals = [STRAIGHT(moves, network, leaves) for _ in range(2)]
    sum(loss(final) for final in finals).backward()
    found = torch.stack([z.grad for z in leaves])
    assert torch.allclose(found, 2 * once, rtol=1e-12)


@pytest.mark.parametrize("kept", [0, 1, 7, 20, 1000])
def test_a_checkpoint_budget_has_the_bits_of_the_direct_gradient_whatever_fits(
    kept, method, network, state, monkeypatch
):
    monkeypatch.setattr(memory, "available_bytes", lambda _: 2 * kept * 6 * 9 * 8)
    adjoint = CheckpointBudgetAdjoint(fraction=0.5)
    moves = chain(method, 20)
    direct = gradient(DirectAdjoint(), moves, network, state)
    assert torch.equal(gradient(adjoint, moves, network, state), direct)
    assert list(adjoint.kept.values()) == [kept]


def test_an_estimate_neither_reverses_nor_repeats():
    assert not reverses(STRAIGHT)
    assert not repeats(STRAIGHT)
    assert not reverses(CheckpointBudgetAdjoint())
