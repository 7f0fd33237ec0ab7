import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from doodl.generation import Generation
from doodl.guides.classifier import Classifier

GENERATIONS = [Generation("a cat", 0), Generation("a dog", 1)]
INPUT = {"input_size": 4, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
CLASSES = 5


@pytest.fixture
def module():
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, CLASSES)
    return nn.Sequential(*layers).double()


def loaded(*args, **settings):
    guide = Classifier(*args, **settings)
    guide.load()
    return guide


def by_hand(module, pixels):
    mean, std = (torch.tensor(INPUT[k]).view(3, 1, 1) for k in ("mean", "std"))
    return module((pixels - mean) / std)


def test_cross_entropy_is_minus_log_softmax(module, pixels):
    guide = loaded(module, 2, **INPUT)
    targets = guide.prepare(GENERATIONS)
    chance = by_hand(module, pixels).softmax(dim=1)[:, 2]
    assert torch.allclose(guide(pixels, targets), -chance.log())
    assert torch.allclose(guide.score(pixels, targets), chance)


def test_bce_is_torchs_own_of_each_picture(module, pixels):
    guide = loaded(module, 2, loss="bce", **INPUT)
    targets = guide.prepare(GENERATIONS)
    logits = by_hand(module, pixels)
    truth = torch.eye(CLASSES, dtype=torch.float64)[2]
    expected = [F.binary_cross_entropy(x.sigmoid(), truth) for x in logits]
    assert torch.allclose(guide(pixels, targets), torch.stack(expected))
    assert torch.allclose(guide.score(pixels, targets), logits[:, 2].sigmoid())


@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
def test_gradient_equals_finite_differences(module, pixels, loss):
    guide = loaded(module, 1, loss=loss, **INPUT)
    targets = guide.prepare(GENERATIONS)
    assert torch.autograd.gradcheck(
        lambda x: guide(x, targets), pixels.requires_grad_(), rtol=1e-6
    )


def test_a_step_against_the_gradient_raises_the_probability(module, pixels):
    guide = loaded(module, 3, **INPUT)
    targets = guide.prepare(GENERATIONS)
    loss = guide(pixels.requires_grad_(), targets).sum()
    (gradient,) = torch.autograd.grad(loss, pixels)
    better = guide.score(pixels - 0.01 * gradient, targets)
    assert (better > guide.score(pixels, targets)).all()


def test_the_network_is_frozen(module):
    guide = loaded(module, 0, **INPUT)
    assert not any(p.requires_grad for p in guide.parameters())
    assert not guide.train().network.training


def test_a_module_without_weights_will_do(pixels):
    guide = loaded(nn.Flatten(), 0, **INPUT)
    assert guide(pixels, guide.prepare(GENERATIONS)).shape == (2,)


def test_half_precision_logits_are_compared_in_single(module, pixels):
    guide = loaded(module.bfloat16(), 0, **INPUT)
    assert guide(pixels.float(), guide.prepare(GENERATIONS)).dtype == torch.float32


# timm ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that timm loads, with labels beside the weights."""
    folder = tmp_path_factory.mktemp("classifier")
    arguments = {"channels": [4, 4, 4, 4], "num_classes": CLASSES}
    network = timm.create_model("resnet10t", **arguments)
    save_file(network.state_dict(), folder / "model.safetensors")
    settings = {
        "input_size": [3, 32, 32],
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.6, 0.7],
        "num_classes": CLASSES,
        "classifier": "fc",
        "first_conv": "conv1.0",
    }
    config = {
        "architecture": "resnet10t",
        "num_classes": CLASSES,
        "model_args": {"channels": arguments["channels"]},
        "pretrained_cfg": settings,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "labels.txt").write_text("disc\nheart\nring\nstar\nmoon\n")
    return folder


def test_a_timm_folder_brings_its_input_and_its_labels(folder, generator):
    guide = loaded(str(folder), "ring")
    assert guide.input_size == 32
    assert guide.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert guide.std.flatten().tolist() == pytest.approx([0.5, 0.6, 0.7])
    targets = guide.prepare(GENERATIONS)
    assert targets["class"].tolist() == [2, 2]
    pixels = torch.rand(2, 3, 32, 32, generator=generator)
    assert torch.allclose(guide.score(pixels, targets).log(), -guide(pixels, targets))


def test_input_settings_of_ones_own_come_first(folder):
    guide = loaded(str(folder), 0, input_size=64, mean=[0.5] * 3)
    assert guide.input_size == 64
    assert guide.mean.flatten().tolist() == [0.5] * 3
    assert guide.std.flatten().tolist() == pytest.approx([0.5, 0.6, 0.7])


def test_the_shapes_worlds_classifier_loads():
    guide = loaded("shapes/attributes", 0)
    assert guide.input_size == 64


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_an_architecture_takes_a_checkpoint_file(tmp_path, kind):
    network = timm.create_model("resnet10t", num_classes=3)
    file = tmp_path / f"weights.{kind}"
    save = save_file if kind == "safetensors" else torch.save
    save(network.state_dict(), file)
    guide = loaded("resnet10t", 2, checkpoint=str(file), input_size=32)
    assert torch.equal(guide.network.fc.weight, network.fc.weight)


class Trap:
    """An object whose unpickling would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_a_checkpoint_that_is_no_checkpoint_is_refused(tmp_path):
    trap, other = tmp_path / "trap.pth", tmp_path / "other.pth"
    torch.save({"fc.bias": Trap()}, trap)
    torch.save({"weight": torch.zeros(2)}, other)
    for name, file, message in [
        ("resnet10t", tmp_path / "none.pth", "no checkpoint at"),
        ("resnet10t", trap, "Could not load the checkpoint"),
        ("resnet10t", other, "it holds no fc.bias"),
        ("no such net", other, "into timm's 'no such net'"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            loaded(name, 0, checkpoint=str(file))
        assert "\n" not in str(caught.value)


# Bad input ----------------------------------------------------------------------------


def test_a_target_that_the_network_lacks_is_refused(module):
    with pytest.raises(ValueError, match="from 0 to 4.*received 5"):
        loaded(module, 5, **INPUT)


def test_labels_of_another_classifier_are_refused(module, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("disc\nheart")
    with pytest.raises(ValueError, match="each of the classifier's 5.*received 2"):
        loaded(module, "heart", str(labels), **INPUT)


def test_a_network_without_logits_is_refused():
    with pytest.raises(ValueError, match=r"received \(1, 3, 4, 4\) for one image"):
        loaded(nn.Identity(), 0, **INPUT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": " "}, "name of a classifier, received a blank"),
        ({"model": "shapes/nothing"}, "no network 'shapes/nothing'"),
        ({"labels": "no/labels.txt"}, "no label file at"),
        ({"target": "heart"}, "give a file of labels"),
        ({"target": -1}, "0 or more, received -1"),
        ({"loss": "mse"}, "cross_entropy or bce, received 'mse'"),
        ({"model": nn.Flatten()}, "input_size, mean and std with"),
        ({"model": nn.Flatten(), **INPUT, "checkpoint": "a.pth"}, "into the module"),
        ({"input_size": 0}, "at least 1, received 0"),
        ({"mean": [0.5]}, "mean of 3 channels"),
        ({"std": [0.5, 0.5, 0.0]}, "std above 0"),
    ],
)
def test_bad_settings_are_refused_before_any_network_is_loaded(settings, message):
    with pytest.raises(ValueError, match=message):
        Classifier(**{"model": "no_such_model", "target": 0} | settings)


def test_a_name_is_looked_for_before_any_network_is_loaded(folder):
    with pytest.raises(ValueError, match="did you mean 'heart'"):
        Classifier(str(folder), "hearts")


def test_pixels_of_another_size_are_refused(module, pixels):
    guide = loaded(module, 0, **INPUT)
    with pytest.raises(ValueError, match=r"\(N, 3, 4, 4\).*received \(2, 3, 4, 3\)"):
        guide.logits(pixels[..., :3])


def test_settings_alone_load_nothing():
    with pytest.raises(RuntimeError, match="call load"):
        Classifier("no_such_model", 0).prepare(GENERATIONS)
