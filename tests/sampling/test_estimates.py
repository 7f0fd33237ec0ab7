"""Approximate gradients: what they ignore, what they cost, and where they are exact."""

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
    ShortcutAdjoint,
    StraightThroughAdjoint,
    begin_update,
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
ESTIMATES = {
    "straight": StraightThroughAdjoint(),
    "shortcut": ShortcutAdjoint(4),
    "random": ShortcutAdjoint(),
}
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
    """A small convolutional network, `strength` times; no module, to count FLOPs."""

    def __init__(self, strength=1.0, dtype=torch.float64):
        generator = torch.Generator().manual_seed(5)
        self.inner, self.outer = (
            torch.randn(shape, generator=generator).to(dtype) / 4
            for shape in ((6, 2, 3, 3), (2, 6, 3, 3))
        )
        self.strength = strength
        self.calls = 0
        self.dtypes = []

    def __call__(self, z, t):
        self.calls += 1
        hidden = conv2d(z, self.inner, padding=1)
        self.dtypes.append(hidden.dtype)
        hidden = torch.tanh(hidden + t / 1000)
        return self.strength * conv2d(hidden, self.outer, padding=1)


def chain(method, num_steps=10, **changes):
    steps = Schedule.from_config({**SD, **changes}).steps(num_steps)
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


def through(calls, moves, network, state):
    """The gradient of autograd where only some calls may be differentiated."""
    count = 0

    def predict(z, t):
        nonlocal count
        count += 1
        return network(z, t) if count - 1 in calls else network(z.detach(), t)

    return gradient(DirectAdjoint(), moves, predict, state)


def calls_of(method, steps):
    each = METHODS[method].num_latents
    return {each * step + k for step in steps for k in range(each)}


@pytest.mark.parametrize("name", ESTIMATES)
def test_forward_is_the_plain_chain_bit_for_bit(name, method, network, state):
    moves = chain(method)
    leaves = tuple(z.clone().requires_grad_() for z in state)
    found = torch.stack(ESTIMATES[name](moves, network, leaves))
    assert found.requires_grad
    assert torch.equal(found, torch.stack(run(moves, network, state)))


@pytest.mark.parametrize("step", [0, 4, 9, -1, -10])
def test_a_shortcut_differentiates_one_step(step, method, network, state):
    moves = chain(method)
    expected = through(calls_of(method, [step % 10]), moves, network, state)
    found = gradient(ShortcutAdjoint(step), moves, network, state)
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_straight_through_differentiates_no_call(method, network, state):
    moves = chain(method)
    expected = through(set(), moves, network, state)
    found = gradient(StraightThroughAdjoint(), moves, network, state)
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in ESTIMATES if n != "straight"])
def test_a_single_step_of_ddim_has_the_exact_gradient(name, network, generator):
    z = torch.randn((1, 2, 3, 3), generator=generator).double()
    # trailing, since the only leading timestep of a single step is the last one
    moves = chain("ddim", 1, timestep_spacing="trailing")
    adjoint = ShortcutAdjoint(0) if name == "shortcut" else ESTIMATES[name]
    direct = gradient(DirectAdjoint(), moves, network, (z,))
    found = gradient(adjoint, moves, network, (z,))
    assert torch.allclose(found, direct, rtol=1e-12)
    straight = gradient(StraightThroughAdjoint(), moves, network, (z,))
    assert not torch.allclose(straight, direct, rtol=1e-3)


@pytest.mark.parametrize("adjoint", [ShortcutAdjoint(0), ShortcutAdjoint()])
def test_a_single_step_of_edict_has_the_exact_gradient(adjoint, network, generator):
    pair = torch.randn((2, 1, 2, 3, 3), generator=generator).double().unbind()
    moves = chain("edict", 1, timestep_spacing="trailing")
    direct = gradient(DirectAdjoint(), moves, network, pair)
    found = gradient(adjoint, moves, network, pair)
    assert torch.allclose(found, direct, rtol=1e-12)


@pytest.mark.parametrize("name", ESTIMATES)
def test_a_network_that_ignores_the_latent_has_the_exact_gradient(name, method, state):
    direct = gradient(DirectAdjoint(), chain(method), constant, state)
    found = gradient(ESTIMATES[name], chain(method), constant, state)
    assert torch.allclose(found, direct, rtol=1e-12)


def test_shortcuts_of_all_steps_add_up_to_the_gradient_of_first_order(method, state):
    """What is left is of second order in the network's strength."""
    moves, errors = chain(method), []
    for strength in (1e-3, 1e-4):
        network = Network(strength)
        direct = gradient(DirectAdjoint(), moves, network, state)
        straight = gradient(StraightThroughAdjoint(), moves, network, state)
        total = straight.clone()
        for step in range(10):
            total += gradient(ShortcutAdjoint(step), moves, network, state) - straight
        errors.append(((total - direct).norm() / direct.norm()).item())
    assert errors[1] < 1.1e-2 * errors[0]


@pytest.mark.parametrize("name", ESTIMATES)
def test_an_estimate_costs_the_calls_and_flops_that_it_says(
    name, method, network, state
):
    """An input gradient has the FLOPs of the call, since the weights are frozen."""
    costs(ESTIMATES[name], method, network, state)


@pytest.mark.parametrize("adjoint", EXACT)
def test_an_exact_adjoint_costs_the_calls_and_flops_that_it_says(
    adjoint, network, generator
):
    pair = torch.randn((2, 1, 2, 3, 3), generator=generator).double().unbind()
    costs(adjoint, "edict", network, pair)


def costs(adjoint, method, network, state):
    moves = chain(method)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(state[0], 7)
    one = counter.get_total_flops()
    leaves = tuple(z.clone().requires_grad_() for z in state)
    adjoint(moves, network, leaves)  # a budget measures once
    begin_update(adjoint, 0)
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


@pytest.mark.parametrize(
    ("name", "edict", "ddim"),
    [
        ("straight", (20, 0, 0), (10, 0, 0)),
        ("shortcut", (20, 0, 2), (10, 0, 1)),
        ("random", (20, 0, 2), (10, 0, 1)),
    ],
)
def test_calls_forward_repeated_and_differentiated(name, edict, ddim):
    assert gradient_calls(ESTIMATES[name], chain("edict")) == edict
    assert gradient_calls(ESTIMATES[name], chain("ddim")) == ddim
    assert gradient_calls(ESTIMATES[name], []) == (0, 0, 0)


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


@pytest.mark.parametrize("name", ["straight", "shortcut"])
def test_an_estimate_stores_the_graphs_of_what_it_differentiates(
    name, method, network, state
):
    moves = chain(method)
    one = saved_bytes(DirectAdjoint(), moves, network, state) / len(
        [m for m in moves if m.source is not None]
    )
    kept = gradient_calls(ESTIMATES[name], moves).differentiated
    assert saved_bytes(ESTIMATES[name], moves, network, state) == kept * one


def test_a_random_step_belongs_to_seed_and_update(method, network, state):
    moves = chain(method)

    def chosen(adjoint, update):
        begin_update(adjoint, update)
        return gradient(adjoint, moves, network, state)

    first = [chosen(ShortcutAdjoint(), n) for n in range(6)]
    assert len({g.sum().item() for g in first}) > 2
    adjoint = ShortcutAdjoint()
    for n in (5, 0, 3, 3):
        assert torch.equal(chosen(adjoint, n), first[n])
    other = [chosen(ShortcutAdjoint(seed=1), n) for n in range(6)]
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))
    counting = ShortcutAdjoint()
    with torch.no_grad():
        counting(moves, network, state)  # a result is no update
    for n in range(6):
        assert torch.equal(gradient(counting, moves, network, state), first[n])


def test_every_step_has_its_turn(method):
    moves = chain(method)
    adjoint, found = ShortcutAdjoint(), set()
    for n in range(200):
        begin_update(adjoint, n)
        found.add(adjoint._span(moves))
    assert len(found) == 10


def test_an_adjoint_without_a_choice_is_not_told_of_updates():
    begin_update(None, 3)
    begin_update(DirectAdjoint(), 3)


@pytest.mark.parametrize("name", ESTIMATES)
def test_no_latent_is_kept_where_nobody_asks_for_a_gradient(
    name, method, network, state
):
    asked, alive = [], []

    def predict(z, t):
        asked.append(weakref.ref(z))
        alive.append(sum(z() is not None for z in asked))
        return network(z, t)

    with torch.no_grad():
        final = ESTIMATES[name](chain(method), predict, state)
    assert max(alive) <= 3 + len(state)  # and where a section of the chain begins
    assert not any(z.requires_grad for z in final)


@pytest.mark.parametrize("name", ESTIMATES)
def test_backward_runs_in_the_precision_of_forward(name, method, state):
    network, moves = Network(dtype=torch.float32), chain(method)
    leaves = tuple(z.float().requires_grad_() for z in state)
    with torch.autocast("cpu", torch.bfloat16):
        final = ESTIMATES[name](moves, network, leaves)
    assert all(z.dtype == torch.float32 for z in final)
    loss(final).backward()
    assert set(network.dtypes) == {torch.bfloat16}
    assert all(z.grad.dtype == torch.float32 for z in leaves)


@pytest.mark.parametrize("name", ESTIMATES)
def test_a_chain_can_be_run_again_before_the_gradient_is_taken(
    name, method, network, state
):
    moves, adjoint = chain(method), ESTIMATES[name]
    apart = []
    for _ in range(2):
        begin_update(adjoint, 0)
        apart.append(gradient(adjoint, moves, network, state))
    leaves = tuple(z.clone().requires_grad_() for z in state)
    finals = []
    for _ in range(2):
        begin_update(adjoint, 0)
        finals.append(adjoint(moves, network, leaves))
    sum(loss(final) for final in finals).backward()
    found = torch.stack([z.grad for z in leaves])
    assert torch.allclose(found, sum(apart), rtol=1e-12)


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
    assert not any(reverses(adjoint) for adjoint in ESTIMATES.values())
    assert not any(repeats(adjoint) for adjoint in ESTIMATES.values())
    assert not reverses(CheckpointBudgetAdjoint())


def test_what_cannot_be_differentiated_is_refused(network, generator):
    z = torch.randn((1, 2, 3, 3), generator=generator).double()
    with pytest.raises(ValueError, match="between -10 and 9, .*received 10"):
        ShortcutAdjoint(10)(chain("ddim"), network, (z,))
