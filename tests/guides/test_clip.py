import math
import warnings

import pytest
import torch

from doodl.generation import Generation
from doodl.guides.clip import CLIPText, spherical_distance


@pytest.fixture
def guide(clips):
    guide = CLIPText("fake")
    guide.load()
    return guide


GENERATIONS = [Generation("a cat", 0), Generation("red dog", 1)]


@pytest.mark.parametrize("angle", [0.01, 1.0, math.pi / 2, 3.0])
def test_spherical_distance_is_half_the_squared_angle(angle):
    u = torch.tensor([1.0, 0.0], dtype=torch.float64)
    v = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    assert spherical_distance(u, v).item() == pytest.approx(angle**2 / 2, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [1, -1])
def test_equal_and_opposite_vectors_have_finite_gradients(generator, dtype, sign):
    v = torch.randn(50, 64, generator=generator, dtype=dtype)
    v = v / v.norm(dim=-1, keepdim=True)
    u = (sign * v).requires_grad_()
    loss = spherical_distance(u, v)
    (gradient,) = torch.autograd.grad(loss.sum(), u)
    assert gradient.isfinite().all()
    expected = 0.0 if sign == 1 else math.pi**2 / 2
    assert torch.allclose(loss, torch.tensor(expected, dtype=dtype), atol=5e-3)
    if sign == 1:
        assert not loss.any()
        assert not gradient.any()


def test_gradient_equals_finite_differences(guide, pixels):
    targets = guide.prepare(GENERATIONS)
    assert torch.autograd.gradcheck(
        lambda x: guide(x, targets), pixels.requires_grad_(), rtol=1e-6
    )


def test_the_loss_compares_the_picture_with_the_prompt(guide, pixels):
    network = guide.clip.network
    mean, std = guide.mean, guide.std
    image = network.image(((pixels - mean) / std).flatten(1).tanh())
    words = torch.tensor([[ord("a"), ord("c"), ord("_")], [ord("r"), ord("d"), 95]])
    angle = torch.cosine_similarity(image, network.text(words)).acos()
    targets = guide.prepare(GENERATIONS)
    assert torch.allclose(guide(pixels, targets), angle**2 / 2)
    assert torch.allclose(guide.score(pixels, targets), angle.cos())


def test_the_most_particular_text_is_the_target(guide):
    own = Generation("a cat", 0, guide_prompt="one dog")
    expected = guide.embed_texts(["one dog", "a cat"])
    assert torch.equal(
        guide.prepare([own, Generation("a cat", 0)])["embedding"], expected
    )
    guide.guide_prompt = "her fish"
    expected = guide.embed_texts(["one dog", "her fish"])
    assert torch.equal(
        guide.prepare([own, Generation("a cat", 0)])["embedding"], expected
    )


def test_the_network_is_frozen_and_its_size_known_after_loading(guide):
    assert guide.input_size == 4
    assert not any(p.requires_grad for p in guide.parameters())
    assert not guide.train().network.training
    assert not guide.prepare(GENERATIONS)["embedding"].requires_grad


def test_a_prompt_that_is_cut_is_quoted_once(guide):
    with pytest.warns(UserWarning, match="'blue square' is cut"):
        guide.embed_texts(["a red circle blue square"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guide.embed_texts(["a red circle blue square", "a cat"])


def test_pixels_of_another_size_are_refused(guide, pixels):
    with pytest.raises(ValueError, match=r"\(N, 3, 4, 4\).*received \(2, 3, 4, 3\)"):
        guide.embed(pixels[..., :3])


def test_half_precision_embeddings_are_compared_in_single(guide, pixels):
    guide.half()
    loss = guide(pixels.float(), guide.prepare(GENERATIONS))
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": " "}, "name or the folder of a CLIP"),
        ({"model": "fake", "guide_prompt": ""}, "guide_prompt, received a blank"),
    ],
)
def test_blank_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CLIPText(**settings)


def test_settings_alone_load_nothing():
    with pytest.raises(RuntimeError, match="call load"):
        CLIPText("no such model").prepare(GENERATIONS)
