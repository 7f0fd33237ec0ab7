"""The latent pair: its draw, its projections, its diagnostics."""

import pytest
import torch
from diffusers.utils.torch_utils import randn_tensor

from doodl import latents as pairs


@pytest.fixture
def pair(generator):
    return torch.randn((2, 3, 4, 5, 6), generator=generator, dtype=torch.float64)


def test_a_draw_is_what_diffusers_draws_for_a_seed():
    seeds = [0, 7, 2**40]
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    theirs = randn_tensor((3, 4, 8, 8), generator=generators)
    assert torch.equal(pairs.draw(seeds, (4, 8, 8)), theirs)


def test_a_double_draw_is_the_single_one_cast():
    single = pairs.draw([3], (4, 8, 8))
    double = pairs.draw([3], (4, 8, 8), torch.float64)
    assert double.dtype == torch.float64
    assert torch.equal(double, single.double())


def test_a_draw_depends_on_its_own_seed_only():
    torch.manual_seed(1)
    together = pairs.draw([5, 6, 7], (4, 8, 8))
    torch.manual_seed(2)
    assert torch.equal(together[1:2], pairs.draw([6], (4, 8, 8)))


def test_a_draw_leaves_the_global_randomness_alone():
    before = torch.get_rng_state()
    pairs.draw([5], (4, 8, 8))
    torch.randn(3, generator=pairs.stream(0, "noise", 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stream_belongs_to_seed_purpose_and_update():
    keys = [(0, "noise", 0), (1, "noise", 0), (0, "crops", 0), (0, "noise", 1)]
    keys += [(1, "noise", 1), (11, "noise", 1), (1, "noise", 11), (-1, "noise", 0)]
    firsts = [torch.randn(4, generator=pairs.stream(*key)) for key in keys]
    again = [torch.randn(4, generator=pairs.stream(*key)) for key in keys]
    assert torch.equal(torch.stack(firsts), torch.stack(again))
    assert len({tuple(first.tolist()) for first in firsts}) == len(keys)


def test_a_stream_is_the_same_in_every_process_and_release():
    # A literal, for another process may go on with an interrupted generation.
    assert pairs.stream(0, "noise", 0).initial_seed() == 5858681329433569406


def test_norms_are_euclidean_over_a_latents_elements(pair):
    norms = pairs.norms(pair)
    assert norms.shape == (2, 3)
    for k in range(2):
        for i in range(3):
            expected = sum(v**2 for v in pair[k, i].flatten().tolist()) ** 0.5
            assert norms[k, i].item() == pytest.approx(expected, rel=1e-12)


def test_averaging_gives_both_the_mean_and_is_a_projection(pair):
    mean = pairs.average(pair)
    assert torch.equal(mean[0], mean[1])
    assert torch.allclose(mean[0], (pair[0] + pair[1]) / 2, rtol=1e-14)
    assert torch.equal(pairs.average(mean), mean)


def test_renormalizing_keeps_directions_and_gives_each_latent_its_norm(pair):
    target = torch.arange(1.0, 7.0, dtype=torch.float64).view(2, 3)
    moved = pairs.renormalize(pair, target)
    assert torch.allclose(pairs.norms(moved), target, rtol=1e-12)
    along = torch.cosine_similarity(moved.flatten(2), pair.flatten(2), dim=2)
    assert torch.allclose(along, torch.ones_like(along), rtol=1e-12)
    assert torch.allclose(pairs.renormalize(moved, target), moved, rtol=1e-12)


def test_renormalizing_to_its_own_norm_changes_nothing(pair):
    assert torch.allclose(pairs.renormalize(pair, pairs.norms(pair)), pair, rtol=1e-14)


def test_noise_is_the_same_for_both_latents_and_has_the_scale(pair, generator):
    noise = torch.randn(pair.shape[1:], generator=generator, dtype=torch.float64)
    added = pairs.perturb(pair, noise, 0.25) - pair
    assert torch.allclose(added, 0.25 * noise.expand_as(pair), atol=1e-14)


def test_the_gap_is_the_mean_distance_and_zero_for_equals(pair):
    assert torch.equal(pairs.gap(pairs.average(pair)), torch.zeros(3).double())
    shifted = torch.stack(
        (pair[0], pair[0] - torch.tensor([1.0, 2, 3])[:, None, None, None])
    )
    assert torch.allclose(pairs.gap(shifted), torch.tensor([1.0, 2, 3]).double())


def test_autocorrelation_is_pearsons_of_neighbours():
    noise = pairs.draw([0, 1], (4, 64, 64), torch.float64)[None].expand(
        2, -1, -1, -1, -1
    )
    white = pairs.autocorrelation(noise)
    assert white.shape == (2, 2)
    assert white.abs().max() < 4 / (2 * 4 * 64 * 63) ** 0.5
    sums = noise[..., 1:] + noise[..., :-1]  # neighbours in a row share one of two
    blurred = sums[..., 1:, :] + sums[..., :-1, :]
    assert (pairs.autocorrelation(blurred) - 0.5).abs().max() < 0.02
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    alternating = pairs.autocorrelation(board.expand(2, 1, 4, 8, 8))
    assert torch.allclose(alternating, torch.full((2, 1), -1.0))


def test_kurtosis_is_three_for_a_normal_and_known_for_others():
    normal = pairs.draw([0], (4, 64, 64), torch.float64).expand(2, 1, 4, 64, 64)
    error = (24 / normal[0].numel()) ** 0.5
    assert (pairs.kurtosis(normal) - 3).abs().max() < 4 * error
    coin = (
        torch.tensor([-1.0, 1.0]).repeat(32).view(1, 1, 4, 4, 4).expand(2, 1, 4, 4, 4)
    )
    assert torch.allclose(pairs.kurtosis(coin), torch.ones(2, 1))
    assert torch.allclose(pairs.kurtosis(3 + 5 * coin), torch.ones(2, 1))
