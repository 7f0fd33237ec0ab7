"""Classifier-free guidance in one batched call."""

import pytest
import torch

from doodl.sampling.denoiser import Conditioning, GuidedDenoiser

T = 321


class Network:
    """Depends on everything that it is told, and notes how it was called."""

    def __init__(self):
        self.calls = []

    def __call__(self, z, timesteps, *, text, size):
        self.calls.append((z.shape[0], timesteps.shape, z.dtype))
        told = (text.mean(dim=(1, 2)) + size.sum(dim=1)).to(z)
        return torch.sin(
            z + told[:, None, None, None] + timesteps.to(z).view(-1, 1, 1, 1)
        )


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def z(generator):
    return torch.randn((3, 4, 2, 2), generator=generator, dtype=torch.float64)


@pytest.fixture
def named(generator):
    def draw():
        return {
            "text": torch.randn(3, 5, 6, generator=generator, dtype=torch.float64),
            "size": torch.randn(3, 2, generator=generator, dtype=torch.float64),
        }

    return draw(), draw()


@pytest.mark.parametrize("w", [7.5, 0.0, -1.0, 2.0])
def test_guidance_is_the_formula_and_one_call(network, z, named, w):
    positive, negative = named
    guided = GuidedDenoiser(network, w)(z, T, Conditioning(positive, negative))
    assert network.calls == [(6, (6,), torch.float64)]
    times = torch.full((3,), T)
    conditional = network(z, times, **positive)
    unconditional = network(z, times, **negative)
    expected = unconditional + w * (conditional - unconditional)
    assert torch.allclose(guided, expected, rtol=1e-13)


def test_scale_one_is_the_conditional_model_at_half_the_batch(network, z, named):
    guided = GuidedDenoiser(network, 1.0)(z, T, Conditioning(*named))
    assert network.calls == [(3, (3,), torch.float64)]
    assert torch.equal(guided, network(z, torch.full((3,), T), **named[0]))


def test_scale_one_is_the_limit_of_the_guided_formula(network, z, named):
    near = GuidedDenoiser(network, 1 + 1e-9)(z, T, Conditioning(*named))
    one = GuidedDenoiser(network, 1.0)(z, T, Conditioning(*named))
    assert torch.allclose(near, one, atol=1e-8)


def test_without_a_negative_prompt_there_is_no_guidance(network, z, named):
    guided = GuidedDenoiser(network, 7.5)(z, T, Conditioning(named[0]))
    assert network.calls == [(3, (3,), torch.float64)]
    assert torch.equal(guided, network(z, torch.full((3,), T), **named[0]))


def test_equal_prompts_make_guidance_vanish(network, z, named):
    positive, _ = named
    guided = GuidedDenoiser(network, 7.5)(z, T, Conditioning(positive, positive))
    assert torch.allclose(
        guided, network(z, torch.full((3,), T), **positive), rtol=1e-13
    )


@pytest.mark.parametrize("w", [1.0, 7.5])
def test_the_network_has_its_own_precision_and_the_latent_keeps_its(
    network, z, named, w
):
    denoiser = GuidedDenoiser(network, w, dtype=torch.float32)
    guided = denoiser(z, T, Conditioning(*named))
    assert network.calls[0][2] == torch.float32
    assert guided.dtype == torch.float64


def test_guidance_itself_is_in_the_latents_precision(z):
    def network(z, timesteps, *, text):
        return text.to(z).expand_as(z)

    near, nearer = torch.full((2, 3, 1, 1, 1), 1.0)
    nearer = nearer + 2**-10  # neighbours in float16: it has nothing between
    dtype = torch.float16
    conditioning = Conditioning({"text": nearer}, {"text": near})
    guided = GuidedDenoiser(network, 0.5, dtype)(z, T, conditioning)
    assert torch.equal(guided, torch.full_like(z, 1 + 2**-11))


def test_a_generation_does_not_depend_on_its_neighbours(network, z, named):
    positive, negative = named
    together = GuidedDenoiser(network, 3.0)(z, T, Conditioning(positive, negative))
    for i in range(3):
        one = Conditioning(
            {k: v[i : i + 1] for k, v in positive.items()},
            {k: v[i : i + 1] for k, v in negative.items()},
        )
        alone = GuidedDenoiser(network, 3.0)(z[i : i + 1], T, one)
        assert torch.allclose(together[i : i + 1], alone, rtol=1e-13)


@pytest.mark.parametrize("w", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number_is_refused(network, w):
    with pytest.raises(ValueError, match=f"finite guidance_scale, received {w}"):
        GuidedDenoiser(network, w)


@pytest.mark.parametrize(("first", "last"), [(100, 600), (321, 321), (0, 321)])
def test_inside_its_interval_guidance_is_as_without_one(network, z, named, first, last):
    told = Conditioning(*named)
    limited = GuidedDenoiser(network, 3.0, interval=(first, last))(z, T, told)
    assert torch.equal(limited, GuidedDenoiser(network, 3.0)(z, T, told))


@pytest.mark.parametrize("interval", [(322, 1000), (0, 320)])
def test_outside_its_interval_only_the_conditional_call_is_made(
    network, z, named, interval
):
    guided = GuidedDenoiser(network, 3.0, interval=interval)(z, T, Conditioning(*named))
    assert network.calls == [(3, (3,), torch.float64)]
    assert torch.equal(guided, network(z, torch.full((3,), T), **named[0]))


def test_an_interval_up_to_999_has_the_first_step_of_flow_models(network):
    denoiser = GuidedDenoiser(network, 3.0, interval=(500, 999))
    assert denoiser.guides(1000.0)
    assert not GuidedDenoiser(network, 3.0, interval=(0, 998)).guides(1000.0)


def test_an_interval_without_a_timestep_is_refused(network):
    with pytest.raises(ValueError, match="not above its last, received 600 and 200"):
        GuidedDenoiser(network, 3.0, interval=(600, 200))


def test_a_conditioning_in_another_precision_keeps_its_whole_numbers(named):
    positive, negative = named
    ids = {"ids": torch.arange(3)}
    told = Conditioning({**positive, **ids}, {**negative, **ids}).to(torch.bfloat16)
    kinds = {k: v.dtype for k, v in told.both.items()}
    assert kinds == {"text": torch.bfloat16, "size": torch.bfloat16, "ids": torch.int64}
    alone = Conditioning(positive).to(torch.float32)
    assert alone.negative is None
    assert alone.positive["text"].dtype == torch.float32
