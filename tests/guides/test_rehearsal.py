"""The rehearsal of a user's guide: each mistake is a sentence with class and line."""

import random

import pytest
import torch

from doodl.generation import Generation
from doodl.guides import Ensemble, Function, Guide, Symmetry
from doodl.guides.rehearsal import Stage, rehearse, users_guides

GENERATIONS = [Generation("a red circle", 0), Generation("a blue star", 1)]


def guide(forward, **methods):
    """Return a guide of a class of its own with these methods."""
    return type("Own", (Guide,), {"forward": forward, **methods})()


def mean(self, pixels, targets):
    return pixels.mean(dim=(1, 2, 3))


def whole(self, pixels, targets):
    return pixels.mean()


def constant(self, pixels, targets):
    return torch.zeros(len(pixels))


def detached(self, pixels, targets):
    return pixels.detach().mean(dim=(1, 2, 3))


def unrelated(self, pixels, targets):
    return torch.zeros(len(pixels), requires_grad=True) * 2


def listed(self, pixels, targets):
    return [p.mean() for p in pixels]


def nothing(self, pixels, targets):
    pixels.mean()


def without_targets(self, pixels):
    return pixels.mean(dim=(1, 2, 3))


def normalised(self, pixels, targets):
    return (pixels - pixels.mean()).square().mean(dim=(1, 2, 3))


def in_place(self, pixels, targets):
    return pixels.sub_(0.5).mean(dim=(1, 2, 3))


def squeezed(self, pixels, targets):
    return pixels.mean(dim=(2, 3)).mean(dim=1, keepdim=True).squeeze()


def raising(self, pixels, targets):
    return pixels.mean(dim=(1, 2, 3)) * targets["text"]


def numpy(self, pixels, targets):
    return torch.tensor(pixels.numpy().mean(axis=(1, 2, 3)))


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (whole, r"one loss a picture, \(2,\), .* shape \(\); take the mean over chan"),
        (constant, "with a gradient .* received constants; leave out detach"),
        (detached, "with a gradient .* received constants; leave out detach"),
        (unrelated, "depend on the pixels .* received ones that do not"),
        (listed, "one loss a picture.*received a list; return a tensor"),
        (nothing, "one loss a picture.*received None; return a tensor"),
        (without_targets, r"forward\(self, pixels, targets\).*forward\(self, pixels\)"),
        (normalised, "the same in every batch, received .* alone; leave out"),
        (in_place, "its pixels unchanged, received an in-place change; begin with"),
        (squeezed, r"\(1,\), .* keep the dimension of pictures, which a squeeze"),
        (raising, r"KeyError in test_rehearsal.py, line \d+: 'text'; correct that"),
        (numpy, "RuntimeError in .*, line .*: NumPy has no gradient; use the oper"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_mistake_in_forward_is_a_sentence(forward, words):
    with pytest.raises(ValueError, match=words) as error:
        rehearse(guide(forward), GENERATIONS, Stage())
    line = forward.__code__.co_firstlineno
    assert f"the guide Own (test_rehearsal.py, line {line})" in str(error.value)


def load_without_device(self):
    pass


def load_nothing(self, device):
    raise OSError("no weights")


def no_targets(self, generations):
    return None


def odd_targets(self, generations):
    return {"text": torch.zeros(3)}


def odd_terms(self, pixels, targets):
    return {"total": pixels.mean(dim=(1, 2, 3))}


def odd_score(self, pixels, targets):
    return 1.0


def uninitialised(self):
    self.weight = 1.0


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        ("load", load_without_device, r"load\(self, device\) in .* load\(self\)"),
        ("load", load_nothing, "exception OSError in test_rehearsal.py, line .*: no w"),
        ("prepare", no_targets, "dictionary of tensors from prepare .* received None"),
        ("prepare", odd_targets, r"leading dimension 2 .* 'text' .* shape \(3,\)"),
        ("terms", odd_terms, "the key 'loss' from terms .* received a dict"),
        ("score", odd_score, "one score a picture.*received a float; return a tensor"),
        ("__init__", uninitialised, r"super\(\).__init__\(\) at the beginning .* add"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_mistake_in_another_method_is_a_sentence(name, method, words):
    with pytest.raises(ValueError, match=words):
        rehearse(guide(mean, **{name: method}), GENERATIONS, Stage())


def test_a_function_is_named():
    def tone(pixels):
        return pixels.detach().mean(dim=(1, 2, 3))

    with pytest.raises(ValueError, match="from the function .*tone, received const"):
        rehearse(Function(tone), GENERATIONS, Stage())


def test_guides_that_can_be_used_pass():
    def scored(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3)) * random.random()

    def targeted(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3)) * targets["seed"]

    def seeds(self, generations):
        return {"seed": torch.tensor([1.0 + g.seed for g in generations])}

    for each in (guide(mean), guide(scored), guide(targeted, prepare=seeds)):
        rehearse(each, GENERATIONS, Stage())
        rehearse(each, GENERATIONS[:1], Stage(gradient=False))


def test_a_judge_needs_no_gradient():
    rehearse(guide(detached), GENERATIONS, Stage(gradient=False))


def test_a_gradient_of_zero_is_a_warning():
    def rounded(self, pixels, targets):
        return pixels.round().mean(dim=(1, 2, 3))

    with pytest.warns(UserWarning, match="the guide Own .* is zero on two random pic"):
        rehearse(guide(rounded), GENERATIONS, Stage())


def test_it_changes_neither_the_guide_nor_random_numbers():
    def counted(self, pixels, targets):
        self.calls.append(torch.rand(3))
        return pixels.mean(dim=(1, 2, 3))

    own = guide(counted)
    own.calls = []
    before = torch.random.get_rng_state()
    rehearse(own, GENERATIONS, Stage())
    assert own.calls == []
    assert torch.random.get_rng_state().equal(before)


def test_only_guides_that_are_not_packaged_are_rehearsed():
    own, function = guide(mean), Function(torch.sum)
    assert users_guides(Symmetry()) == []
    assert users_guides(Ensemble([Symmetry(), own, function])) == [own, function]


def test_a_guide_of_one_size_only_is_called_on_that_size(fit):
    sizes = []

    def fixed(self, pixels, targets):
        sizes.append(tuple(pixels.shape[-2:]))
        return (pixels - torch.zeros(3, 32, 32)).square().mean(dim=(1, 2, 3))

    fit(guide=guide(fixed), height=32, width=32)
    assert sizes[0] == (64, 64)
    assert set(sizes[1:]) == {(32, 32)}
