"""An edit begins with the pair that makes a given picture."""

import re
from functools import partial

import pytest
import torch

from doodl import images
from doodl.baselines import OneStep
from doodl.editing import Edit
from doodl.generation import Generation
from doodl.guided_generation import GuidedGeneration
from doodl.guides import Symmetry
from doodl.optimizer import LatentSGD

untied = partial(
    LatentSGD,
    clip=0.02,
    noise_scale=0.0,
    tie_gradients=False,
    average_pair=False,
    renormalize=False,
)


@pytest.fixture
def picture(tmp_path, generator):
    path = tmp_path / "picture.png"
    images.save(torch.rand(3, 40, 32, generator=generator), path)
    return str(path)


@pytest.fixture
def edit(fit, picture):
    def run(strength=1.0, **settings):
        keys = {"num_steps": 5, "mixing": 0.8, "optimizer": untied} | settings
        return fit(None, images=[picture], edit=Edit(strength), **keys)

    return run


def reconstruction(module, picture):
    """What the autoencoder alone makes of the picture."""
    pixels = images.cover(images.load(picture), 32, 32)
    clean = module.renderer.encode(images.to_images(pixels[None]))
    return module.renderer.decode(clean[None])[0, 0]


@pytest.mark.parametrize("strength", [1.0, 0.6, 0.2])
@pytest.mark.parametrize("num_steps", [5, 6])
def test_the_original_is_the_picture(edit, picture, strength, num_steps):
    module = edit(strength, num_steps=num_steps)
    first = module.kept[0].first[0]
    again = reconstruction(module, picture)
    assert (first.pixels - again).abs().max() < 1e-3
    assert not torch.equal(*first.latents)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_how_well_the_picture_comes_back_is_said(edit, capsys, dtype):
    module = edit(mixing=0.6, latents_dtype=dtype)
    said = capsys.readouterr().err
    (error,) = re.findall(r"come back within (\S+) standard deviations", said)
    assert module.latents.dtype == getattr(torch, dtype)
    # Of the two precisions: round-off, amplified by 0.6 to the power of -10.
    assert float(error) < (1e-3 if dtype == "float32" else 1e-5)
    assert "picture.png' worst" in said


def test_updates_improve_a_picture(edit):
    # A random autoencoder answers little: a large rate, and no momentum.
    optimizer = partial(untied, lr=1e3, momentum=0.0)
    trajectory = edit(0.8, num_updates=4, optimizer=optimizer).kept[0]
    assert trajectory.best[0].guide > trajectory.first[0].guide
    assert trajectory.best[0].update > 0


def test_a_part_of_the_chain_costs_a_part_of_the_calls(edit, counted):
    edit(0.4, num_updates=1)  # 2 of 5 steps
    # Inverting, checking, one update's forward, and the result.
    assert len(counted.no_grad) == 4 * 2 * 2
    assert len(counted.grad) == 2 * 2


def test_one_step_guidance_begins_with_the_inverted_picture(edit, counted):
    edit(0.4, stage="predict", baseline=OneStep(1.0))
    assert len(counted.grad) == 2


@pytest.mark.parametrize("strength", [0.0, -1.0, 1.5, float("nan")])
def test_a_strength_is_a_share(strength):
    with pytest.raises(ValueError, match="above 0 and up to 1, received"):
        Edit(strength)


def test_a_strength_of_no_step_is_refused():
    with pytest.raises(
        ValueError, match="at least 0.1 for num_steps 10, received 0.05"
    ):
        GuidedGeneration(
            "own/tiny", Symmetry(), edit=Edit(0.05), num_steps=10, optimizer=untied
        )


def test_averaging_the_pair_is_refused_and_why():
    with pytest.raises(ValueError, match="the pair that makes a given picture is two"):
        GuidedGeneration("own/tiny", Symmetry(), edit=Edit())


def test_a_missing_picture_is_refused_before_loading(tmp_path):
    with pytest.raises(ValueError, match="picture to edit, received none for the pro"):
        Edit().check([Generation("a cat", 0)])
    with pytest.raises(ValueError, match="a picture at '.*none.png'; there is none"):
        Edit().check([Generation("a cat", 0, image=str(tmp_path / "none.png"))])


def test_a_picture_that_does_not_come_back_is_warned_of(edit, monkeypatch):
    monkeypatch.setattr("doodl.editing.ROUGH", 0.0)
    with pytest.warns(UserWarning, match="p = 0.8 amplifies round-off too much"):
        edit()
