"""The projection onto white noise: its laws, and an independent statement of it."""

import math
import sys
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import processes
from doodl.jobs.timing import count_flops
from doodl.latents import normalize, norms
from doodl.pretrained import folders
from doodl.pretrained.outline import outline
from doodl.sampling.denoiser import GuidedDenoiser
from doodl.white_noise import Drift, whiten, whiteness

SHAPES = [(4, 16, 16), (4, 8, 8), (4, 5, 6), (3, 5, 5), (1, 2, 2), (1, 1, 5), (2, 9, 3)]
"""1024 and 256 numbers; blocks with a remainder; odd numbers; fewer than a block."""


def noise(shape, generator, count=5):
    return torch.randn((2, count, *shape), generator=generator, dtype=torch.float64)


def coloured(shape, generator, count=5):
    """Noise whose amplitudes fall as 1 / f, as gradients through generators have."""
    white = noise(shape, generator, count)
    spectrum = torch.fft.rfft(white.flatten(2))
    spectrum /= torch.arange(1, spectrum.shape[-1] + 1)
    count = math.prod(shape)
    return torch.fft.irfft(spectrum, n=count).view_as(white)


def by_bisection(x):
    """One latent's projection, each block's shrinkage found by bisection."""
    flat = x.flatten()
    count = len(flat)
    spectrum = torch.fft.rfft(flat, norm="ortho")
    y = spectrum[1 : (count + 1) // 2].clone()
    if count % 2 == 0:
        joined = torch.complex(spectrum[0].real, spectrum[-1].real) / math.sqrt(2)
        y = torch.cat((joined[None], y))
    starts = [16 * i for i in range(max(len(y) // 16, 1))]
    parts = []
    for start, end in zip(starts, [*starts[1:], len(y)], strict=True):
        block = y[start:end]
        w, size = block.abs(), end - start
        low, high = w.max() - 1e6 * w.max(), w.max()
        for _ in range(200):
            middle = (low + high) / 2
            kept = (w - middle).clamp_min(0)
            enough = kept.sum() ** 2 >= math.pi / 4 * size * kept.square().sum()
            low, high = (middle, high) if enough else (low, middle)
        kept = (w - low).clamp_min(0)
        kept = kept * math.sqrt(math.pi) / 2 * size / kept.sum()
        parts.append(kept * block / w)
    y = torch.cat(parts)
    if count % 2 == 0:
        first, last = y[0].real * math.sqrt(2), y[0].imag * math.sqrt(2)
        y = torch.cat((first[None] + 0j, y[1:], last[None] + 0j))
    else:
        y = torch.cat((spectrum[:1].sgn(), y))
    return torch.fft.irfft(y, n=count, norm="ortho").view_as(x)


@pytest.mark.parametrize("make", [noise, coloured])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_projection_is_that_of_a_bisection(make, shape, generator):
    found = whiten(1e-6 * make(shape, generator))
    generator.manual_seed(0)
    given = make(shape, generator)
    expected = [[by_bisection(x) for x in latent] for latent in given]
    expected = torch.stack([torch.stack(latent) for latent in expected])
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", [noise, coloured])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_projection_has_the_norm_of_white_noise(make, shape, generator):
    found = whiten(make(shape, generator)).flatten(2).square().sum(dim=2)
    assert torch.allclose(found, torch.full_like(found, math.prod(shape)), rtol=1e-12)


@pytest.mark.parametrize("make", [noise, coloured])
@pytest.mark.parametrize("shape", SHAPES)
def test_projecting_twice_is_projecting_once(make, shape, generator):
    once = whiten(make(shape, generator))
    assert torch.allclose(whiten(once), once, rtol=1e-6, atol=1e-6)


def test_every_block_has_the_mean_and_the_square_of_white_noise(generator):
    found = whiten(coloured((4, 16, 16), generator)).flatten(2)
    magnitudes = torch.fft.rfft(found, norm="ortho")[..., 16:512].abs()
    blocks = magnitudes.unflatten(-1, (-1, 16))
    mean, square = blocks.mean(dim=-1), blocks.square().mean(dim=-1)
    assert torch.allclose(mean, torch.full_like(mean, math.sqrt(math.pi) / 2))
    assert torch.allclose(square, torch.ones_like(square))


@pytest.mark.parametrize(("side", "least"), [(16, 0.98), (64, 0.9875)])
def test_white_noise_is_nearly_a_fixed_point(side, least, generator):
    white = noise((4, side, side), generator, count=100)
    found = whiteness(white)
    assert found.min() > least
    assert found.mean() > 0.989
    turned = (white.flatten(2) * whiten(white).flatten(2)).sum(dim=2)
    turned /= norms(white) * math.sqrt(4 * side**2)
    assert torch.allclose(found, turned, rtol=1e-10)


def test_no_point_of_the_set_is_nearer_than_the_projection(generator):
    given = coloured((4, 8, 8), generator, count=2)
    others = whiten(noise((4, 8, 8), generator, count=200))
    found = (given - whiten(given)).flatten(2).norm(dim=2)
    for i in range(2):
        distances = (given[:, i : i + 1] - others).flatten(2).norm(dim=2)
        assert (distances > found[:, i : i + 1]).all()
    near = whiten(whiten(given) + 0.01 * noise((4, 8, 8), generator, 2))
    assert ((given - near).flatten(2).norm(dim=2) > found).all()


def test_a_step_along_a_coloured_gradient_colours_the_noise_unless_projected(generator):
    shape = (4, 16, 16)
    z, g = noise(shape, generator, 20), coloured(shape, generator, 20)

    def low(latents):
        spectrum = torch.fft.rfft(latents.flatten(2), norm="ortho")
        return spectrum[..., :16].abs().square().mean().item()

    stepped = z - 0.3 * normalize(g)
    white = z - 0.3 * whiten(g)
    assert low(stepped) > 2 * low(z)
    assert low(white) < 1.2 * low(z)
    assert whiteness(stepped).mean() < whiteness(white).mean()


@pytest.mark.parametrize("shape", SHAPES)
def test_single_precision_is_enough(shape, generator):
    given = noise(shape, generator, count=50).float()
    error = whiten(given) - whiten(given.double())
    assert error.abs().max() < 1e-4


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_a_gradient_does_not_matter(scale, generator):
    given = coloured((4, 16, 16), generator).float()
    assert torch.allclose(whiten(scale * given), whiten(given), atol=1e-4)


def test_each_latent_is_projected_by_itself(generator):
    given = noise((4, 8, 8), generator)
    one = whiten(given[1:, 3:4])
    assert torch.equal(whiten(given)[1:, 3:4], one)


def test_degenerate_gradients_remain_finite():
    zero = torch.zeros(2, 1, 4, 8, 8)
    assert not whiten(zero).any()
    impulse = zero.clone()
    impulse[..., 3, 4, 5] = 1
    found = whiten(impulse).square().sum(dim=(2, 3, 4))
    assert torch.allclose(found, torch.full_like(found, 256))
    constant = whiten(torch.ones(2, 1, 4, 8, 8))
    assert constant.isfinite().all()


class Work(TorchDispatchMode):
    """Counts a floating-point operation an element, and log2 of the length in a FFT."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [x.numel() for x in (*args, result) if isinstance(x, torch.Tensor)]
        fft = "fft" in function.__name__
        self.total += max(sizes, default=0) * (5 * math.log2(max(sizes)) if fft else 1)
        return result


def share(folder, calls, latents):
    """Of a projection in the FLOPs of an update's guided calls: an upper bound."""
    made = outline(str(folder))
    shape = made.latent_shape(None, None)
    texts = made.conditioning(["a red circle"], [""], shape, 5.0)
    denoiser = GuidedDenoiser(made.network, 5.0, made.dtype, None, made.combine)
    call = partial(denoiser, timestep=500, conditioning=texts)
    one = count_flops(call, torch.empty(1, *shape, device="meta")).flops
    with Work() as work:
        whiten(torch.randn(latents, 1, *shape))
    return work.total / (calls * one)


@pytest.mark.parametrize(
    ("calls", "latents", "least", "most"),
    [(3.4 * 2 * 20, 2, 5e-5, 2e-4), (20, 1, 2e-4, 5e-4)],
    ids=["edict", "fast"],
)
def test_the_projection_costs_less_than_half_a_percent_of_an_update(
    world, calls, latents, least, most
):
    """Beside 20 steps of the tiny U-Net, of EDICT with an exact gradient or of `fast`.

    An update of `fast` has one latent, and no gradient of the network.
    """
    assert least < share(world / "pipeline", calls, latents) < most < 0.005


def test_the_projection_is_a_hundred_thousandth_of_an_update_of_fast():
    assert share(folders.SHAPES / "pipeline", 20, 1) < 1e-5


def test_drift_is_the_whiteness_of_the_pair(generator):
    white = noise((4, 16, 16), generator, count=3)
    drift = Drift()
    drift.start(white)
    found = drift(white)
    assert list(found) == ["whiteness"]
    assert torch.equal(found["whiteness"], whiteness(white).mean(dim=0))


def test_a_warning_names_the_latent_that_fell_once(generator, recwarn):
    drift = Drift()
    white = noise((4, 32, 32), generator)
    drift.start(white)
    drift(white)
    assert not recwarn
    fallen = white.clone()
    fallen[:, 1] += 0.5 * normalize(coloured((4, 32, 32), generator))[:, 1]
    first, found = (whiteness(z).mean(dim=0)[1] for z in (white, fallen))
    said = rf"projection was {first:.3f} before the updates and is {found:.3f}, below 0"
    with pytest.warns(UserWarning, match=said):
        drift(fallen)
    drift(fallen)
    assert not recwarn


def test_latents_that_never_were_white_are_compared_with_their_own_start(
    generator, recwarn
):
    drift = Drift()
    colour = normalize(coloured((4, 32, 32), generator))
    edited = noise((4, 32, 32), generator) + 0.5 * colour
    assert whiteness(edited).mean(dim=0).max() < 0.95
    drift.start(edited)
    drift(edited)
    assert not recwarn
    with pytest.warns(UserWarning, match="moved away from white noise"):
        drift(edited + 0.5 * colour)


def test_a_broken_latent_hides_no_other(generator):
    drift = Drift()
    white = noise((4, 32, 32), generator)
    drift.start(white)
    fallen = white + normalize(coloured((4, 32, 32), generator))
    fallen[:, 0] = torch.nan
    with pytest.warns(UserWarning, match="moved away from white noise"):
        drift(fallen)


def test_nothing_is_said_of_small_or_broken_latents(generator, recwarn):
    drift = Drift()
    drift.start(noise((4, 8, 8), generator))
    drift(coloured((4, 8, 8), generator))
    white = noise((4, 32, 32), generator)
    drift.start(white)
    drift(torch.full_like(white, torch.nan))
    assert not recwarn


@pytest.mark.slow
def test_the_packages_own_default_is_not_warned_about(tmp_path):
    """The demonstration's generation whose latents lose most of their whiteness."""
    prompt = "a patterned purple circle right of a patterned red ring"
    chosen = ["--data.prompts", f"['{prompt} on a black background']"]
    command = [sys.executable, "-m", "doodl", "fit", *chosen, "--data.seeds", "[1]"]
    code, out = processes.end(processes.start(command, cwd=tmp_path))
    assert code == 0
    assert "Settings: configs/fast.yaml" in out
    assert "white noise" not in out
