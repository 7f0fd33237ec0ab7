"""Every transform's law, the paper's rule among them, and rules that cannot be."""

import copy
from collections.abc import Callable, Iterable

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from torch import nn
from torch.optim import Optimizer

from doodl import latents as pairs
from doodl.configuration import CONFIGS
from doodl.description import describe
from doodl.optimizer import LatentSGD, check_optimizer
from doodl.rules import (
    Average,
    Clip,
    Descend,
    LatentOptimizer,
    Momentum,
    Noise,
    Normalize,
    Renormalize,
    Scale,
    Tie,
    Transform,
    Whiten,
)
from doodl.rules.paper import paper_rule
from doodl.white_noise import whiten

SHAPE = (2, 3, 4, 6, 6)
SEEDS = [11, 12, 13]
PAPER = {"momentum": 0.9, "clip": 0.5, "noise_scale": 0.01}
SWITCHES = {"tie_gradients": True, "average_pair": True, "renormalize": True}
FAST = yaml.safe_load((CONFIGS / "fast.yaml").read_text())["model"]["optimizer"]
RULES = {
    "paper": lambda: [Scale(), Tie(), Clip(0.5), Momentum(), *moved()],
    "white": lambda: [Tie(), Whiten(), Momentum(), Scale(), *moved()],
    "fast": lambda: parsed(FAST).transforms,
}


def moved():
    return [Descend(), Noise(0.01), Average(), Renormalize()]


def parsed(asked):
    """The optimiser that a configuration asks for, of an empty pair."""
    parser = ArgumentParser()
    parser.add_argument("--optimizer", type=Callable[[Iterable], Optimizer])
    config = parser.parse_object({"optimizer": asked})
    make = parser.instantiate_classes(config).optimizer
    return check_optimizer(make, editing=False)


@pytest.fixture
def pair(generator):
    return torch.randn(SHAPE, generator=generator, dtype=torch.float64)


@pytest.fixture
def gradients(generator):
    return torch.randn((6, *SHAPE), generator=generator, dtype=torch.float64)


def start(pair, rule, seeds=SEEDS, **options):
    latents = nn.Parameter(pair.clone())
    if any(isinstance(part, Scale) for part in rule):
        options = {"lr": 0.1, **options}
    optimizer = LatentOptimizer([latents], rule, **options)
    optimizer.start(seeds)
    return latents, optimizer


def descend(latents, optimizer, gradients):
    for gradient in gradients:
        latents.grad = gradient.clone()
        optimizer.step()
    return latents.detach().clone()


def frozen(z, gradients, norms, *, lr, momentum, clip, noise_scale):
    """LatentSGD's formula before it was a rule, operation by operation."""
    m = torch.zeros_like(z)
    for n, gradient in enumerate(gradients):
        g = lr * gradient
        g = g.mean(dim=0, keepdim=True).expand_as(g)
        g = g.clamp(-clip, clip)
        m = momentum * m + g
        z = z - m
        noise = pairs.noise(SEEDS, "noise", n, z.shape[2:]).to(z)
        z = z + noise_scale * noise
        z = z.mean(dim=0, keepdim=True).expand_as(z)
        z = z * (norms / z.flatten(2).norm(dim=2))[:, :, None, None, None]
        z = z.contiguous()
    return z


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_papers_rule_has_every_bit_that_latent_sgd_has_always_had(
    dtype, pair, gradients
):
    pair, gradients = pair.to(dtype), gradients.to(dtype)
    expected = frozen(pair, gradients, pair.flatten(2).norm(dim=2), lr=3.0, **PAPER)
    rule = paper_rule(**PAPER, **SWITCHES)
    listed = descend(*start(pair, rule, lr=3.0), gradients)
    latents = nn.Parameter(pair.clone())
    sgd = LatentSGD([latents], lr=3.0, **PAPER)
    sgd.start(SEEDS)
    assert torch.equal(listed, expected)
    assert torch.equal(descend(latents, sgd, gradients), expected)


def test_a_rule_can_be_listed_and_latent_sgd_is_such_a_list():
    names = [type(part).__name__ for part in paper_rule(**PAPER, **SWITCHES)]
    order = "Scale Tie Clip Momentum Descend Noise Average Renormalize"
    assert names == order.split()


def test_the_rule_of_fast_is_the_one_that_is_tested_here():
    names = [type(part).__name__ for part in RULES["fast"]()]
    order = "Tie Whiten Clip Normalize Momentum Scale Descend Average Renormalize"
    assert names == order.split()
    assert parsed(FAST).defaults["lr"] == FAST["init_args"]["lr"]


def test_whitening_replaces_the_gradient_by_its_projection(pair, gradients):
    moved = descend(*start(pair, [Whiten(), Descend()]), gradients[:1])
    assert torch.allclose(pair - moved, whiten(gradients[0]), atol=1e-12)


def test_a_normalized_gradient_has_a_root_mean_square_of_1(pair, gradients):
    moved = descend(*start(pair, [Normalize(), Descend()]), gradients[:1])
    step = (pair - moved).flatten(2)
    assert torch.allclose(step.square().mean(dim=2), torch.ones(2, 3).double())
    cosine = torch.cosine_similarity(step, gradients[0].flatten(2), dim=2)
    assert torch.allclose(cosine, torch.ones(2, 3).double())


@pytest.mark.parametrize("name", RULES)
def test_every_rule_resumes_bit_for_bit(name, tmp_path, pair, gradients):
    whole = descend(*start(pair, RULES[name]()), gradients)
    latents, optimizer = start(pair, RULES[name]())
    descend(latents, optimizer, gradients[:3])
    # as the module saves it: shallow copies of what belongs to the latents
    state = {k: dict(v) for k, v in optimizer.state_dict()["state"].items()}
    saved = {"latents": latents.detach().clone(), "state": state}
    torch.save(saved, tmp_path / "half.pt")
    descend(latents, optimizer, gradients[3:])  # does not write into it
    torch.save(saved, tmp_path / "later.pt")
    for file in ("half.pt", "later.pt"):
        half = torch.load(tmp_path / file, weights_only=True)
        resumed, optimizer = start(half["latents"], RULES[name]())
        optimizer.load_state_dict({**optimizer.state_dict(), "state": half["state"]})
        assert torch.equal(descend(resumed, optimizer, gradients[3:]), whole)


@pytest.mark.parametrize("name", RULES)
def test_in_every_rule_an_inactive_generation_keeps_every_bit(name, pair, gradients):
    latents, optimizer = start(pair, RULES[name]())
    before = descend(latents, optimizer, gradients[:2])
    kept = copy.deepcopy(dict(optimizer.state[latents]))
    optimizer.active = torch.tensor([True, False, True])
    spoiled = gradients.clone()
    spoiled[:, :, 1] = float("nan")
    after = descend(latents, optimizer, spoiled[2:])
    assert torch.equal(after[:, 1], before[:, 1])
    for key, value in optimizer.state[latents].items():
        if key != "update":
            assert torch.equal(value[:, 1], kept[key][:, 1]), key
    whole = descend(*start(pair, RULES[name]()), gradients)
    assert torch.equal(after[:, [0, 2]], whole[:, [0, 2]])


@pytest.mark.parametrize("name", RULES)
def test_in_every_rule_generations_do_not_know_each_other(name, pair, gradients):
    together = descend(*start(pair, RULES[name]()), gradients)
    order = [2, 0]
    seeds = [SEEDS[i] for i in order]
    alone = start(pair[:, order], RULES[name](), seeds)
    found = descend(*alone, gradients[:, :, order])
    assert torch.allclose(found, together[:, order], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", RULES)
def test_a_new_batch_begins_from_nothing(name, pair, gradients):
    latents, optimizer = start(pair, RULES[name]())
    descend(latents, optimizer, gradients)
    with torch.no_grad():
        latents.copy_(2 * pair)
    optimizer.start([4, 5, 6])
    fresh = start(2 * pair, RULES[name](), [4, 5, 6])
    expected = descend(*fresh, gradients)
    assert torch.equal(descend(latents, optimizer, gradients), expected)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_works_on_single_latents_and_reports_by_generation(
    name, pair, gradients
):
    latents, optimizer = start(pair[:1], RULES[name]())
    found = descend(latents, optimizer, gradients[:, :1])
    assert found.shape == pair[:1].shape
    assert found.isfinite().all()
    assert {v.shape for v in optimizer.last.values()} == {(3,)}
    assert "grad_norm" in optimizer.last


@pytest.mark.parametrize("scale", [1e-6, 1.0, 100.0])
@pytest.mark.parametrize("name", RULES)
def test_every_rule_reports_the_norm_of_the_raw_gradient(name, scale, pair, gradients):
    latents, optimizer = start(pair, RULES[name]())
    descend(latents, optimizer, scale * gradients[:3])
    expected = scale * gradients[2].flatten(2).norm(dim=2).mean(dim=0)
    assert torch.allclose(optimizer.last["grad_norm"], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", RULES)
def test_no_rule_reads_values_on_the_host(name, pair, gradients):
    """The meta device has no values: whatever asks for one raises."""
    rule = [part for part in RULES[name]() if not isinstance(part, Noise)]
    latents, optimizer = start(pair.to("meta"), rule)
    descend(latents, optimizer, gradients.to("meta"))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ([], "one move, such as Descend, received 0 in nothing"),
        ([Scale()], "received 0 in Scale"),
        ([Descend(), Descend()], "received 2 in Descend, Descend"),
        ([Descend(), Tie()], "of the gradient first.*received Descend, Tie"),
        ([Noise(), Descend()], "of the gradient first.*received Noise, Descend"),
        ([Momentum(), Momentum(), Descend()], "remembers 'momentum', received several"),
    ],
)
def test_a_sequence_that_is_no_rule_is_refused(rule, message, pair):
    with pytest.raises(ValueError, match=message):
        LatentOptimizer([pair], rule)


def test_a_learning_rate_without_a_place_in_the_rule_is_refused(pair):
    with pytest.raises(ValueError, match=r"Expected Scale.*lr 0\.5 applies there"):
        LatentOptimizer([pair], [Descend()], lr=0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Clip(-1.0), "clip.*received -1"),
        (lambda: Momentum(1.0), "momentum.*received 1"),
        (lambda: Noise(-1.0), "noise_scale.*received -1"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_rule_that_averages_the_pair_is_refused_for_an_edit():
    def make(rule):
        return lambda params: LatentOptimizer(params, rule)

    check_optimizer(make([Descend()]), editing=True)
    check_optimizer(make(moved()), editing=False)
    with pytest.raises(ValueError, match="or leave Average out of the rule"):
        check_optimizer(make(moved()), editing=True)


def test_a_users_own_transform_is_part_of_a_rule(pair, gradients):
    class Sign(Transform):
        def __call__(self, update):
            update.step = update.step.sign()

    moved = descend(*start(pair, [Sign(), Descend()]), gradients[:1])
    assert torch.allclose(pair - moved, gradients[0].sign())


def test_a_config_states_a_rule_by_class_paths():
    rule = [
        {"class_path": "doodl.rules.Tie"},
        {"class_path": "doodl.rules.Whiten"},
        {"class_path": "doodl.rules.Momentum", "init_args": {"momentum": 0.5}},
        {"class_path": "doodl.rules.Scale"},
        {"class_path": "doodl.rules.Descend"},
    ]
    asked = {
        "class_path": "doodl.rules.LatentOptimizer",
        "init_args": {"rule": rule, "lr": 0.02},
    }
    optimizer = parsed(asked)
    names = [type(part).__name__ for part in optimizer.transforms]
    assert names == ["Tie", "Whiten", "Momentum", "Scale", "Descend"]
    described = describe(optimizer.settings)
    assert described["lr"] == 0.02
    assert described["rule"][2]["init_args"]["momentum"] == 0.5
