import math
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from doodl.generation import Generation
from doodl.guides.aesthetic import Aesthetic, read_head

GENERATIONS = [Generation("a cat", 0), Generation("a dog", 1)]
WIDTH = 6


@pytest.fixture
def linear():
    """A head whose ratings lie around 6."""
    torch.manual_seed(1)
    linear = nn.Linear(WIDTH, 1)
    nn.init.constant_(linear.bias, 6.0)
    return linear


@pytest.fixture
def head(linear, tmp_path):
    path = tmp_path / "sa_0_4_fake_linear.pth"
    torch.save(linear.state_dict(), path)
    return str(path)


def loaded(*args, **settings):
    guide = Aesthetic(*args, **settings)
    guide.load()
    return guide


@pytest.mark.parametrize("target", [10.0, 3.0, 0.0])
def test_the_loss_is_the_distance_to_the_target(clips, head, linear, pixels, target):
    guide = loaded("fake", head, target)
    assert guide.prepare(GENERATIONS) == {}
    ratings = linear.double()(guide.embed(pixels))[:, 0]
    assert torch.allclose(guide(pixels, {}), (ratings - target).abs())
    clipped = ratings.clamp(1, 10)
    nearest = target - (target - clipped).abs()
    assert torch.allclose(guide.score(pixels, {}), nearest)
    assert torch.equal(nearest.argsort(), (clipped - target).abs().argsort().flip(0))


def test_without_target_the_loss_is_minus_the_rating(clips, head, pixels):
    guide = loaded("fake", head, None)
    assert torch.equal(guide(pixels, {}), -guide.rate(pixels))


@pytest.mark.parametrize("target", [10.0, 3.0, None])
def test_gradient_equals_finite_differences(clips, head, pixels, target):
    guide = loaded("fake", head, target)
    assert torch.autograd.gradcheck(
        lambda x: guide(x, {}), pixels.requires_grad_(), rtol=1e-6
    )


@pytest.mark.parametrize(("bias", "end"), [(-20.0, 1.0), (40.0, 10.0)])
def test_beyond_the_scale_only_the_score_is_clipped(clips, head, pixels, bias, end):
    guide = loaded("fake", head)
    guide.bias.fill_(bias)
    assert guide.score(pixels, {}).tolist() == [end, end]
    loss = guide(pixels.requires_grad_(), {})
    assert torch.allclose(loss, (10 - guide.rate(pixels)).abs())
    (gradient,) = torch.autograd.grad(loss.sum(), pixels)
    assert gradient.flatten(1).norm(dim=1).min() > 0


def test_the_head_is_no_parameter_and_moves_with_the_guide(clips, head):
    guide = loaded("fake", head)
    assert not any(p.requires_grad for p in guide.parameters())
    assert {"weight", "bias"} <= dict(guide.named_buffers()).keys()


def test_half_precision_embeddings_are_rated_in_single(clips, head, pixels):
    guide = loaded("fake", head)
    guide.half()
    assert guide(pixels.float(), {}).dtype == torch.float32


# The file -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["head.pth", "head.pt", "head.safetensors"])
def test_a_head_comes_back_from_every_kind_of_file(linear, tmp_path, name):
    path = tmp_path / name
    save = save_file if name.endswith("safetensors") else torch.save
    save(linear.state_dict(), path)
    weight, bias = read_head(path)
    assert torch.equal(weight, linear.weight)
    assert torch.equal(bias, linear.bias)


def test_a_folder_stands_for_its_weights(clips, linear, tmp_path):
    save_file(linear.state_dict(), tmp_path / "model.safetensors")
    assert torch.equal(loaded("fake", str(tmp_path)).weight, linear.weight)


class Trap:
    """An object whose unpickling would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def write_pickle(path):
    path.write_bytes(pickle.dumps({"weight": Trap()}, protocol=2))


def write_torch_pickle(path):
    torch.save({"weight": Trap(), "bias": Trap()}, path)


def write_module(path):
    torch.save(nn.Linear(WIDTH, 1), path)


def write_text(path):
    path.write_text("not a head")


def write_nothing(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    "write", [write_pickle, write_torch_pickle, write_module, write_text, write_nothing]
)
def test_anything_but_tensors_is_refused_and_not_executed(tmp_path, write, suffix):
    path = tmp_path / f"head.{suffix}"
    write(path)
    with pytest.raises(ValueError, match="torch file of tensors only") as caught:
        Aesthetic("no such model", str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight": torch.ones(1, 6)}, "weight and bias, in .*found weight"),
        ({"layers.0.weight": torch.ones(1, 6)}, "found layers.0.weight"),
        ({}, "found nothing"),
        (
            {"weight": torch.ones(2, 6), "bias": torch.ones(2)},
            r"found \(2, 6\) and \(2,\)",
        ),
        (
            {"weight": torch.ones(6), "bias": torch.ones(1)},
            r"found \(6,\) and \(1,\)",
        ),
        (
            {"weight": torch.full((1, 6), math.nan), "bias": torch.ones(1)},
            "finite numbers",
        ),
        ({"weight": 1, "bias": 2}, "named tensors"),
        ([torch.ones(1, 6)], "named tensors"),
    ],
)
def test_another_layout_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=message):
        read_head(tmp_path / "head.pth")


def test_a_head_of_another_clip_is_refused(clips, tmp_path):
    torch.save(nn.Linear(512, 1).state_dict(), tmp_path / "head.pth")
    guide = Aesthetic("fake", str(tmp_path / "head.pth"))
    with pytest.raises(ValueError, match="width 512, but those of 'fake' have 6"):
        guide.load()


def test_bad_settings_are_refused_before_any_network_is_loaded(head, tmp_path):
    for settings, message in [
        ((" ", head), "name or the folder of a CLIP"),
        (("clip", " "), "file of a head, received a blank"),
        (("clip", "no/head.pth"), "no head at"),
        (("clip", str(tmp_path / "..")), "model.safetensors"),
        (("clip", "shapes/nothing"), "no network 'shapes/nothing'"),
        (("clip", head, math.nan), "finite target rating, received nan"),
        (("clip", head, math.inf), "finite target rating, received inf"),
    ]:
        with pytest.raises(ValueError, match=message):
            Aesthetic(*settings)
