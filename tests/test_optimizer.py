"""LatentSGD against torch.optim.SGD and against the update as the paper has it."""

import copy

import pytest
import torch
from torch import nn

from doodl import latents as pairs
from doodl.callbacks import Multicrop
from doodl.optimizer import LatentSGD

SHAPE = (2, 3, 4, 5, 5)
SEEDS = [11, 12, 13]
PLAIN = {
    "clip": None,
    "noise_scale": 0.0,
    "tie_gradients": False,
    "average_pair": False,
    "renormalize": False,
}


@pytest.fixture
def pair(generator):
    return torch.randn(SHAPE, generator=generator, dtype=torch.float64)


@pytest.fixture
def gradients(generator):
    return torch.randn((6, *SHAPE), generator=generator, dtype=torch.float64)


def start(pair, **options):
    latents = nn.Parameter(pair.clone())
    optimizer = LatentSGD([latents], **options)
    optimizer.start(SEEDS)
    return latents, optimizer


def descend(latents, optimizer, gradients):
    for gradient in gradients:
        latents.grad = gradient.clone()
        optimizer.step()
    return latents.detach()


def update(pair, gradient, **options):
    """Return the pair after one step that does nothing but what is asked."""
    return descend(*start(pair, **{**PLAIN, **options}), [gradient])


@pytest.mark.parametrize(("lr", "momentum"), [(1.0, 0.9), (0.3, 0.0), (3.0, 0.5)])
def test_without_projections_latent_sgd_is_torch_sgd(pair, gradients, lr, momentum):
    ours = descend(*start(pair, lr=lr, momentum=momentum, **PLAIN), gradients)
    latents = nn.Parameter(pair.clone())
    sgd = torch.optim.SGD([latents], lr=lr, momentum=momentum)
    assert torch.allclose(
        ours, descend(latents, sgd, gradients), rtol=1e-12, atol=1e-12
    )


def test_nesterov_is_that_of_torch(pair, gradients):
    ours = descend(*start(pair, lr=0.3, nesterov=True, **PLAIN), gradients)
    latents = nn.Parameter(pair.clone())
    sgd = torch.optim.SGD([latents], lr=0.3, momentum=0.9, nesterov=True)
    theirs = descend(latents, sgd, gradients)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_scaled_before_it_is_clipped(pair, gradients):
    moved = update(pair, gradients[0], lr=3.0, clip=0.5)
    expected = (3 * gradients[0]).clamp(-0.5, 0.5)
    assert torch.allclose(pair - moved, expected, atol=1e-14)


def test_tying_gives_both_latents_the_mean_gradient_before_the_clip(pair, gradients):
    moved = update(pair, gradients[0], tie_gradients=True, clip=0.5)
    mean = (gradients[0][0] + gradients[0][1]) / 2
    assert torch.allclose(pair[0] - moved[0], mean.clamp(-0.5, 0.5), atol=1e-14)
    assert torch.allclose(pair[1] - moved[1], mean.clamp(-0.5, 0.5), atol=1e-14)


def test_what_is_remembered_is_the_clipped_gradient(pair, gradients):
    latents, optimizer = start(pair, **{**PLAIN, "clip": 0.5})
    first = descend(latents, optimizer, gradients[:1]).clone()
    second = descend(latents, optimizer, torch.zeros((1, *SHAPE)).double())
    expected = 0.9 * gradients[0].clamp(-0.5, 0.5)
    assert torch.allclose(first - second, expected, atol=1e-14)


def test_noise_is_the_same_for_both_latents_and_outside_of_the_momentum(pair):
    zero = torch.zeros(SHAPE).double()
    latents, optimizer = start(pair, **{**PLAIN, "noise_scale": 0.5})
    added = descend(latents, optimizer, [zero]) - pair
    assert torch.allclose(added[0], added[1], atol=1e-14)
    assert added.std().item() == pytest.approx(0.5, rel=0.1)
    assert not optimizer.state[latents]["momentum"].any()


def test_averaging_alone_is_the_mean_of_the_pair(pair):
    moved = update(pair, torch.zeros(SHAPE).double(), average_pair=True)
    assert torch.allclose(moved, pair.mean(dim=0).expand(SHAPE), rtol=1e-14)


def test_renormalizing_alone_returns_to_the_norm_of_the_draw(pair, gradients):
    moved = update(pair, gradients[0], renormalize=True)
    radius = pair.flatten(2).norm(dim=2)
    assert torch.allclose(moved.flatten(2).norm(dim=2), radius, rtol=1e-12)
    free = pair - gradients[0]
    scale = radius / free.flatten(2).norm(dim=2)
    assert torch.allclose(moved, free * scale[:, :, None, None, None], rtol=1e-12)


def by_hand(z, gradients, seeds, *, lr, momentum, clip, noise_scale):
    """The paper's algorithm 1, one generation's norm at a time."""
    x, y = z
    radius = [
        (x[i].square().sum().sqrt(), y[i].square().sum().sqrt()) for i in range(3)
    ]
    m = torch.zeros_like(x)
    for n, (grad_x, grad_y) in enumerate(gradients):
        g = (lr * grad_x + lr * grad_y) / 2
        g = torch.where(g > clip, clip, torch.where(g < -clip, -clip, g))
        m = momentum * m + g
        xi = torch.stack(
            [
                torch.randn(x.shape[1:], generator=pairs.stream(s, "noise", n))
                for s in seeds
            ]
        ).double()
        x = x - m + noise_scale * xi
        y = y - m + noise_scale * xi
        x = y = (x + y) / 2
        x = torch.stack([x[i] / x[i].norm() * radius[i][0] for i in range(3)])
        y = torch.stack([y[i] / y[i].norm() * radius[i][1] for i in range(3)])
    return torch.stack((x, y))


@pytest.mark.parametrize("twice", [True, False])
def test_several_updates_are_the_papers_algorithm(pair, gradients, twice):
    if twice:
        pair = pair[:1].expand_as(pair)
    values = {"lr": 3.0, "momentum": 0.9, "clip": 0.7, "noise_scale": 0.01}
    ours = descend(*start(pair, **values), gradients)
    expected = by_hand(pair, gradients, SEEDS, **values)
    assert torch.allclose(ours, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("reduction", ["mean", "min"])
def test_the_released_codes_update_is_ours(reduction, pair, generator):
    """Its loss is the sum over the pair of the least or mean crop, its step halved."""
    crops = torch.randn((4, *SHAPE[2:]), generator=generator, dtype=torch.float64)

    def looks(latent):  # (3, 4): a generation's losses by crop
        return (latent[:, None] - crops).square().mean(dim=(2, 3, 4))

    def reduced(latent):
        found = looks(latent)
        return found.amin(dim=1) if reduction == "min" else found.mean(dim=1)

    # The released code: x and y apart, -1/2 the gradient of the sum, mean, clip.
    x, y = (latent.clone().requires_grad_() for latent in pair)
    (reduced(x).sum() + reduced(y).sum()).backward()
    step = (-0.5 * x.grad - 0.5 * y.grad) / 2
    step = step.clamp(-1e-3, 1e-3)
    mean = (x.detach() + step + y.detach() + step) / 2
    expected = []
    for before in pair:
        radius = before.flatten(1).norm(dim=1) / mean.flatten(1).norm(dim=1)
        expected.append(mean * radius[:, None, None, None])

    multicrop = Multicrop(reduction=reduction)
    latents, optimizer = start(pair, lr=1.0, clip=1e-3, noise_scale=0.0)
    losses = multicrop.reduce(looks(latents.flatten(0, 1))).unflatten(0, (2, 3))
    losses.mean(dim=0).sum().backward()
    optimizer.step()
    torch.testing.assert_close(latents.detach(), torch.stack(expected))


def test_the_papers_values_are_the_defaults(pair, gradients):
    ours = descend(*start(pair), gradients)
    values = {"lr": 1.0, "momentum": 0.9, "clip": 1e-3, "noise_scale": 1e-4}
    expected = by_hand(pair, gradients, SEEDS, **values)
    assert torch.allclose(ours, expected, rtol=1e-12, atol=1e-13)


def test_without_noise_a_zero_gradient_moves_nothing(pair):
    twin = pair[:1].expand_as(pair)
    moved = descend(*start(twin, noise_scale=0.0), torch.zeros((3, *SHAPE)).double())
    assert torch.allclose(moved, twin, rtol=1e-14)


def test_an_inactive_generation_keeps_every_bit_and_its_momentum(pair, gradients):
    latents, optimizer = start(pair)
    descend(latents, optimizer, gradients[:2])
    before = latents.detach().clone()
    momentum = optimizer.state[latents]["momentum"].clone()
    gradients[2:, :, 1] = float("nan")
    optimizer.active = torch.tensor([True, False, True])
    after = descend(latents, optimizer, gradients[2:])
    assert torch.equal(after[:, 1], before[:, 1])
    assert torch.equal(optimizer.state[latents]["momentum"][:, 1], momentum[:, 1])
    assert (after[:, [0, 2]] != before[:, [0, 2]]).all()
    assert after.isfinite().all()


def test_stopping_one_generation_changes_no_other(pair, gradients):
    latents, optimizer = start(pair)
    optimizer.active = torch.tensor([True, False, True])
    some = descend(latents, optimizer, gradients)
    every = descend(*start(pair), gradients)
    assert torch.equal(some[:, [0, 2]], every[:, [0, 2]])


def test_a_generation_does_not_depend_on_its_neighbours_or_its_place(pair, gradients):
    together = descend(*start(pair), gradients)
    order = [2, 0]
    latents = nn.Parameter(pair[:, order].clone())
    optimizer = LatentSGD([latents])
    optimizer.start([SEEDS[i] for i in order])
    apart = descend(latents, optimizer, gradients[:, :, order])
    assert torch.allclose(apart, together[:, order], rtol=1e-14)


def test_noise_belongs_to_seed_and_update(pair):
    zeros = torch.zeros((2, *SHAPE)).double()
    options = {**PLAIN, "noise_scale": 1.0}
    latents, optimizer = start(pair, **options)
    first = descend(latents, optimizer, zeros[:1]).clone()
    second = descend(latents, optimizer, zeros[:1]).clone()
    assert not torch.allclose(second - first, first - pair, atol=1e-3)
    torch.manual_seed(99)
    again = descend(*start(pair, **options), zeros)
    assert torch.equal(again, second)


def test_a_new_batch_starts_from_nothing(pair, gradients):
    latents, optimizer = start(pair)
    descend(latents, optimizer, gradients[:3])
    optimizer.active = torch.tensor([False, True, True])
    with torch.no_grad():
        latents.copy_(2 * pair)
    optimizer.start([4, 5, 6])
    found = descend(latents, optimizer, gradients)
    other = nn.Parameter(2 * pair)
    fresh = LatentSGD([other])
    fresh.start([4, 5, 6])
    assert torch.equal(found, descend(other, fresh, gradients))


def test_starting_and_then_loading_resumes_bit_for_bit(tmp_path, pair, gradients):
    whole = descend(*start(pair), gradients)

    latents, optimizer = start(pair)
    descend(latents, optimizer, gradients[:3])
    saved = {"latents": latents.detach(), "optimizer": optimizer.state_dict()}
    torch.save(saved, tmp_path / "half.pt")

    half = torch.load(tmp_path / "half.pt", weights_only=True)
    resumed, optimizer = start(half["latents"])  # seeds are the data's, not the state's
    optimizer.load_state_dict(half["optimizer"])
    assert torch.equal(descend(resumed, optimizer, gradients[3:]), whole)


def test_loading_restores_the_hyperparameters(pair, gradients):
    values = {"lr": 3.0, "momentum": 0.5, "clip": 0.1, "noise_scale": 0.2}
    latents, optimizer = start(pair, **values, average_pair=False)
    descend(latents, optimizer, gradients[:2])
    other, plain = start(latents.detach(), **PLAIN)
    plain.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    found = descend(other, plain, gradients[2:])
    assert torch.equal(found, descend(latents, optimizer, gradients[2:]))


def test_the_first_step_starts_by_itself_where_no_noise_is_wanted(pair, gradients):
    latents = nn.Parameter(pair.clone())
    found = descend(latents, LatentSGD([latents], noise_scale=0.0), gradients)
    assert torch.equal(found, descend(*start(pair, noise_scale=0.0), gradients))


def test_noise_without_seeds_is_refused(pair, gradients):
    latents = nn.Parameter(pair.clone())
    message = r"noise for 0 generations, but the pair holds 3: call start\(seeds\)"
    with pytest.raises(RuntimeError, match=message):
        descend(latents, LatentSGD([latents]), gradients)


def test_a_step_without_a_gradient_moves_nothing(pair):
    latents, optimizer = start(pair)
    optimizer.step()
    assert torch.equal(latents, pair)


def test_a_closure_is_evaluated_with_gradients_and_returned(pair):
    latents, optimizer = start(pair, **PLAIN)

    def closure():
        loss = latents.square().sum() / 2
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == pytest.approx(pair.square().sum() / 2)
    assert not latents.any()


def test_what_is_reported_is_the_raw_gradient_and_what_the_clip_changed(pair):
    gradient = torch.zeros(SHAPE).double()
    gradient[:, 0] = 3.0
    gradient[:, 1, :2] = 0.4
    gradient[:, 1, 2:] = 0.6
    latents, optimizer = start(pair, lr=0.5, clip=0.25)
    descend(latents, optimizer, [gradient])
    assert optimizer.last["clipped_fraction"].tolist() == [1.0, 0.5, 0.0]
    expected = gradient[0].flatten(1).norm(dim=1)
    assert torch.allclose(optimizer.last["grad_norm"], expected, rtol=1e-12)


def test_a_learning_rate_schedule_reaches_the_gradient(pair, gradients):
    latents, optimizer = start(pair, **PLAIN)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    descend(latents, optimizer, gradients[:1])
    schedule.step()
    found = descend(latents, optimizer, gradients[1:2])
    m = 0.9 * gradients[0] + 0.5 * gradients[1]
    assert torch.allclose(found, pair - gradients[0] - m, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.0),
        ("lr", -1.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("momentum", -0.1),
        ("momentum", 1.0),
        ("momentum", float("nan")),
        ("clip", 0.0),
        ("clip", -1e-3),
        ("clip", float("nan")),
        ("clip", float("inf")),
        ("noise_scale", -1e-4),
        ("noise_scale", float("nan")),
        ("noise_scale", float("inf")),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(pair, name, value):
    with pytest.raises(ValueError, match=f"Expected a .*{name}.*received {value}"):
        start(pair, **{name: value})
