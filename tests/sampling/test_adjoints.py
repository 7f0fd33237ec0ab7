"""Three ways to the same gradient, and what each of them costs."""

import math
import weakref

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from doodl.sampling import memory
from doodl.sampling.adjoints import (
    BudgetAdjoint,
    CheckpointAdjoint,
    DirectAdjoint,
    ReversibleAdjoint,
    default_adjoint,
    repeats,
    reverses,
)
from doodl.sampling.chain import run, unrun
from doodl.sampling.ddim import DDIM
from doodl.sampling.edict import EDICT, Coupling
from doodl.sampling.schedule import Schedule
from schedules import SD

GRAPH = 6 * 9 * 8 / 2**30
"""GiB that the graph of one call of the test's network takes."""
EXACT = [CheckpointAdjoint(), ReversibleAdjoint(), BudgetAdjoint(gib=3.5 * GRAPH)]
ALL = [DirectAdjoint(), *EXACT]


class Network(nn.Module):
    """A small convolutional network that counts its calls and notes what it sees."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.inner = nn.Conv2d(2, 6, 3, padding=1, dtype=dtype)
            self.outer = nn.Conv2d(6, 2, 3, padding=1, dtype=dtype)
        self.requires_grad_(False)
        self.calls = 0
        self.dtypes = []

    def forward(self, z, t):
        self.calls += 1
        hidden = self.inner(z)
        self.dtypes.append(hidden.dtype)
        return self.outer(torch.tanh(hidden + t / 1000))


def chain(num_steps, *, mixing=0.93, start=0, **changes):
    steps = Schedule.from_config({**SD, **changes}).steps(num_steps)
    return EDICT(mixing).moves(steps, start=start)


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def pair(generator):
    return tuple(torch.randn((2, 1, 2, 3, 3), generator=generator).double().unbind())


def loss(state):
    x, y = state
    return (x.sin() * torch.arange(x.numel()).view(x.shape).to(x)).sum() + (y**2).sum()


def gradient(adjoint, moves, network, pair, loss=loss):
    leaves = tuple(z.detach().clone().requires_grad_() for z in pair)
    loss(adjoint(moves, network, leaves)).backward()
    return torch.stack([z.grad for z in leaves])


def close(adjoint, moves, network, pair, rtol):
    expected = gradient(DirectAdjoint(), moves, network, pair)
    found = gradient(adjoint, moves, network, pair)
    return torch.allclose(found, expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("adjoint", EXACT)
@pytest.mark.parametrize(("num_steps", "start"), [(1, 0), (10, 0), (11, 0), (11, 4)])
def test_every_gradient_is_the_direct_gradient(
    adjoint, num_steps, start, network, pair
):
    assert close(adjoint, chain(num_steps, start=start), network, pair, rtol=1e-10)


def test_the_reversible_gradient_survives_the_amplification_of_50_steps(network, pair):
    assert close(ReversibleAdjoint(), chain(50), network, pair, rtol=1e-8)


def test_the_checkpoint_gradient_has_the_bits_of_the_direct_one(network, pair):
    moves = chain(50)
    direct = gradient(DirectAdjoint(), moves, network, pair)
    assert torch.equal(gradient(CheckpointAdjoint(), moves, network, pair), direct)


@pytest.mark.parametrize("adjoint", ALL)
def test_the_gradient_is_that_of_finite_differences(adjoint, network, pair):
    moves = chain(5, mixing=0.8)
    leaves = tuple(z[..., :2, :2].clone().requires_grad_() for z in pair)
    assert torch.autograd.gradcheck(
        lambda *state: adjoint(moves, network, state),
        leaves,
        rtol=1e-6,
        atol=1e-8,
        nondet_tol=1e-12,
    )


@pytest.mark.parametrize("adjoint", EXACT)
@pytest.mark.parametrize(
    "changes",
    [
        {"steps_offset": 0},
        {"prediction_type": "v_prediction"},
        {
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
            "timestep_spacing": "trailing",
        },
    ],
)
def test_other_schedules_have_the_direct_gradient_too(adjoint, changes, network, pair):
    assert close(adjoint, chain(10, **changes), network, pair, rtol=1e-10)


@pytest.mark.parametrize("adjoint", ALL)
def test_forward_is_the_plain_chain_bit_for_bit(adjoint, network, pair):
    moves = chain(10)
    found = torch.stack(adjoint(moves, network, pair))
    assert torch.equal(found, torch.stack(run(moves, network, pair)))


@pytest.mark.parametrize(
    ("adjoint", "in_backward"),
    [(DirectAdjoint(), 0), (CheckpointAdjoint(), 20), (ReversibleAdjoint(), 20)]
    + [(BudgetAdjoint(gib=k * GRAPH), 20 - k) for k in (0, 1, 7, 20)],
)
def test_ten_steps_are_twenty_calls_and_inverting_costs_none(
    adjoint, in_backward, network, pair
):
    leaves = tuple(z.requires_grad_() for z in pair)
    adjoint(chain(1), network, leaves)  # a budget measures once
    network.calls = 0
    final = adjoint(chain(10), network, leaves)
    assert network.calls == 20
    loss(final).backward()
    assert network.calls == 20 + in_backward


def test_undoing_a_chain_asks_as_often_as_doing_it(network, pair):
    unrun(chain(10), network, pair)
    assert network.calls == 20


def saved_bytes(adjoint, num_steps, network, pair):
    total = 0

    def pack(tensor):
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    leaves = tuple(z.detach().requires_grad_() for z in pair)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        adjoint(chain(num_steps), network, leaves)
    return total


def test_reversible_memory_is_the_final_pair_whatever_the_number_of_steps(
    network, pair
):
    latent = pair[0].numel() * 8
    for num_steps in (10, 60):
        kept = saved_bytes(ReversibleAdjoint(), num_steps, network, pair)
        assert kept == 2 * latent


def test_checkpoint_memory_is_one_latent_for_each_call(network, pair):
    latent = pair[0].numel() * 8
    for num_steps in (10, 60):
        kept = saved_bytes(CheckpointAdjoint(), num_steps, network, pair)
        assert kept == 2 * num_steps * latent


@pytest.mark.parametrize("kept", [0, 1, 7, 20, 1000])
def test_a_budget_keeps_the_graphs_that_it_can_pay(kept, network, pair):
    direct = saved_bytes(DirectAdjoint(), 10, network, pair) / 20
    adjoint = BudgetAdjoint(gib=(kept + 0.5) * GRAPH)
    gradient(adjoint, chain(1), network, pair)
    found = saved_bytes(adjoint, 10, network, pair) - 2 * pair[0].numel() * 8
    assert found == min(kept, 20) * direct


def test_a_budget_may_be_a_share_of_what_is_free(network, pair, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda _: 10 * GRAPH * 2**30)
    adjoint = BudgetAdjoint(fraction=0.5)
    gradient(adjoint, chain(10), network, pair)
    assert list(adjoint.kept.values()) == [5]


def test_every_shape_of_latents_has_a_budget_of_its_own(network, pair):
    adjoint = BudgetAdjoint(gib=8 * GRAPH)
    for count in (1, 2, 1):
        leaves = tuple(z.repeat(count, 1, 1, 1) for z in pair)
        gradient(adjoint, chain(10), network, leaves)
    assert list(adjoint.kept.values()) == [8, 4]


def test_keeping_every_graph_has_the_bits_of_the_direct_gradient(network, pair):
    direct = gradient(DirectAdjoint(), chain(50), network, pair)
    kept = gradient(BudgetAdjoint(gib=1), chain(50), network, pair)
    assert torch.equal(kept, direct)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gib": 1, "fraction": 0.5}, "received both"),
        ({"gib": -1}, "0 or more, received -1"),
        ({"gib": math.nan}, "0 or more, received nan"),
        ({"fraction": 1.5}, "between 0 and 1, received 1.5"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        BudgetAdjoint(**settings)


def test_the_default_adjoint_reverses_only_where_reversing_is_exact():
    assert isinstance(default_adjoint(EDICT(), sixteen_bits=False), ReversibleAdjoint)
    assert isinstance(default_adjoint(EDICT(), sixteen_bits=True), CheckpointAdjoint)
    assert isinstance(default_adjoint(DDIM(), sixteen_bits=False), CheckpointAdjoint)


def test_an_adjoint_says_whether_it_reverses_and_repeats():
    adjoints = (DirectAdjoint, CheckpointAdjoint, ReversibleAdjoint, BudgetAdjoint)
    assert [reverses(kind()) for kind in adjoints] == [False, False, True, True]
    assert [repeats(kind()) for kind in adjoints] == [False, True, True, True]


def test_a_users_own_adjoint_need_not_say_it():
    def own(moves, predict, state):
        return run(moves, predict, state)

    assert not reverses(own)
    assert repeats(own)


def test_direct_memory_grows_by_the_networks_activations(network, pair):
    ten = saved_bytes(DirectAdjoint(), 10, network, pair)
    sixty = saved_bytes(DirectAdjoint(), 60, network, pair)
    hidden = 6 * pair[0][0, 0].numel() * 8
    assert sixty == 6 * ten
    assert ten >= 20 * hidden


class Held:
    """What a graph keeps of a tensor, for as long as it does."""

    alive = most = 0

    def __init__(self, tensor):
        self.tensor, self.size = tensor, tensor.numel() * tensor.element_size()
        Held.alive += self.size
        Held.most = max(Held.most, Held.alive)

    def __del__(self):
        Held.alive -= self.size


def most_bytes_in_backward(adjoint, num_steps, network, pair):
    leaves = tuple(z.detach().requires_grad_() for z in pair)
    value = loss(adjoint(chain(num_steps), network, leaves))
    Held.alive = Held.most = 0
    with saved_tensors_hooks(Held, lambda held: held.tensor):
        value.backward()
    assert Held.alive == 0
    return Held.most


@pytest.mark.parametrize("adjoint", EXACT)
def test_one_calls_graph_is_alive_at_a_time_in_backward(adjoint, network, pair):
    leaf = pair[0].clone().requires_grad_()
    Held.alive = Held.most = 0
    with saved_tensors_hooks(Held, lambda held: held.tensor):
        network(leaf, 7)
    one, found = Held.most, most_bytes_in_backward(adjoint, 10, network, pair)
    assert found == most_bytes_in_backward(adjoint, 200, network, pair) == one


@pytest.mark.parametrize("adjoint", ALL)
def test_no_latent_is_kept_where_nobody_asks_for_a_gradient(adjoint, network, pair):
    asked = []

    def predict(z, t):
        asked.append(weakref.ref(z))
        alive.append(sum(z() is not None for z in asked))
        return network(z, t)

    alive = []
    adjoint(chain(10), predict, pair)
    assert max(alive) <= 3


@pytest.mark.parametrize("adjoint", ALL)
def test_no_graph_is_made_where_nobody_asks_for_a_gradient(adjoint, network, pair):
    with torch.no_grad():
        leaves = tuple(z.requires_grad_() for z in pair)
        assert not any(z.requires_grad for z in adjoint(chain(3), network, leaves))


@pytest.mark.parametrize("adjoint", ALL)
def test_a_frozen_network_gets_no_gradient(adjoint, network, pair):
    gradient(adjoint, chain(3), network, pair)
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("adjoint", EXACT)
@pytest.mark.parametrize("which", [0, 1])
def test_a_loss_of_one_latent_reaches_both(adjoint, which, network, pair):
    moves = chain(4)

    def one(state):
        return state[which].sin().sum()

    found = gradient(adjoint, moves, network, pair, one)
    expected = gradient(DirectAdjoint(), moves, network, pair, one)
    assert (expected != 0).all()
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("adjoint", EXACT)
def test_one_latent_alone_may_ask_for_a_gradient(adjoint, network, pair):
    moves = chain(4)
    x, y = pair
    expected = gradient(DirectAdjoint(), moves, network, pair)[1]
    y.requires_grad_()
    loss(adjoint(moves, network, (x, y))).backward()
    assert x.grad is None
    assert torch.allclose(y.grad, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("adjoint", EXACT)
def test_a_network_that_ignores_the_latent_has_a_linear_chain(adjoint, pair):
    moves = chain(4)

    def constant(z, t):
        return torch.ones_like(z)

    found = gradient(adjoint, moves, constant, pair)
    expected = gradient(DirectAdjoint(), moves, constant, pair)
    assert torch.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("adjoint", EXACT)
def test_a_chain_may_leave_a_latent_as_it_was(adjoint, network, pair):
    moves = [Coupling(0, 1.1, -0.3, 500)]
    assert close(adjoint, moves, network, pair, rtol=1e-12)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("adjoint", EXACT)
def test_backward_repeats_the_precision_that_forward_ran_in(adjoint, device, pair):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    network, moves = Network(torch.float32).to(device), chain(4)
    leaves = tuple(z.to(device, torch.float32).requires_grad_() for z in pair)
    with torch.autocast(device, torch.bfloat16):
        final = adjoint(moves, network, leaves)
    assert all(z.dtype == torch.float32 for z in final)
    loss(final).backward()
    assert set(network.dtypes) == {torch.bfloat16}

    network.dtypes.clear()
    final = adjoint(moves, network, leaves)
    with torch.autocast(device, torch.bfloat16):
        loss(final).backward()
    assert set(network.dtypes) == {torch.float32}


def test_the_gradient_under_autocast_is_the_direct_gradient_under_autocast(pair):
    network, moves = Network(torch.float32), chain(10)

    def under(adjoint):
        leaves = tuple(z.float().requires_grad_() for z in pair)
        with torch.autocast("cpu", torch.bfloat16):
            final = adjoint(moves, network, leaves)
        loss(final).backward()
        return torch.stack([z.grad for z in leaves])

    direct = under(DirectAdjoint())
    assert torch.equal(under(CheckpointAdjoint()), direct)
    # A rebuilt latent may round to the other neighbour in bfloat16.
    error = (under(ReversibleAdjoint()) - direct).norm() / direct.norm()
    assert error < 2**-8


@pytest.mark.parametrize("adjoint", EXACT)
def test_a_chain_can_be_run_again_before_the_first_gradient_is_taken(
    adjoint, network, pair
):
    moves = chain(3)
    leaves = tuple(z.requires_grad_() for z in pair)
    first = adjoint(moves, network, leaves)
    second = adjoint(moves, network, first)
    (loss(first) + loss(second)).backward()
    found = torch.stack([z.grad for z in leaves])

    def twice(state):
        return loss(state) + loss(run(moves, network, state))

    expected = gradient(DirectAdjoint(), moves, network, pair, twice)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("adjoint", EXACT)
def test_a_second_derivative_is_refused_rather_than_wrong(adjoint, network, pair):
    leaves = tuple(z.requires_grad_() for z in pair)
    value = loss(adjoint(chain(2), network, leaves))
    (first,) = torch.autograd.grad(value, leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
