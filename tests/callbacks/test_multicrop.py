"""Multicrop: how it gets into the loss, and what it makes of losses."""

import pytest
import torch

from doodl.callbacks import Multicrop
from doodl.guides import Guide


class Watching(Guide):
    """Keeps the shapes of what it is shown to be scored and to be differentiated."""

    def __init__(self, input_size=16):
        super().__init__()
        self.input_size = input_size
        self.shown, self.scored = [], []

    def forward(self, pixels, targets):
        self.shown.append(tuple(pixels.shape))
        return pixels.mean(dim=(1, 2, 3))

    def score(self, pixels, targets):
        self.scored.append(tuple(pixels.shape))
        return -pixels.mean(dim=(1, 2, 3))


@pytest.fixture
def crops(fit):
    def run(callback, stage="fit", **settings):
        guide = Watching(**settings)
        callbacks = [callback] if callback else []
        return guide, fit(num_updates=1, guide=guide, callbacks=callbacks, stage=stage)

    return run


def test_the_loss_sees_crops_and_the_score_the_full_frame(crops):
    guide, _ = crops(Multicrop(5, cutout_size=12))
    # Two generations, two images each, five crops of each.
    assert guide.shown == [(5, 3, 16, 16)] * 2 * 2
    assert guide.scored == [(2, 3, 16, 16)] * 2


@pytest.mark.parametrize("callback", [None, Multicrop(0)])
def test_without_crops_the_loss_sees_the_full_frame(crops, callback):
    guide, _ = crops(callback)
    assert guide.shown == [(1, 3, 16, 16)] * 2 * 2


def test_predict_draws_no_crops(crops):
    guide, _ = crops(Multicrop(5), stage="predict")
    assert (guide.shown, guide.scored) == ([], [(2, 3, 16, 16)])


@pytest.mark.parametrize(
    ("reduction", "expected"), [("mean", [2.0, 4.0]), ("min", [1.0, 0.0])]
)
def test_reductions(reduction, expected):
    losses = torch.tensor([[1.0, 3.0], [8.0, 0.0]])
    assert Multicrop(2, reduction=reduction).reduce(losses).tolist() == expected


def test_a_picture_gets_the_same_crops_beside_others(generator):
    pixels = torch.rand(2, 3, 32, 32, generator=generator)
    views = Multicrop(4, cutout_size=8)

    def seeded(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    both = views(pixels, 16, seeded(3, 4))
    assert views(pixels[1:], 16, seeded(4))[0].equal(both[1])


def test_each_update_and_each_image_of_the_pair_has_crops_of_its_own(fit):
    class Recording(Multicrop):
        def __init__(self):
            super().__init__(1, cutout_size=8)
            self.draws = []

        def __call__(self, pixels, size, generators):
            self.draws += [g.initial_seed() for g in generators]
            return super().__call__(pixels, size, generators)

    views = Recording()
    fit(["a"], seeds=(0, 1), num_updates=3, guide=Watching(), callbacks=[views])
    assert len(set(views.draws)) == len(views.draws) == 3 * 2 * 2


def test_crops_that_are_all_the_full_frame_are_warned_about_once(recwarn):
    views = Multicrop(2)
    pixels, generators = torch.zeros(1, 3, 32, 32), [torch.Generator()]
    with pytest.warns(UserWarning, match="the smallest crop is 32 px"):
        views(pixels, 32, generators)
    views(pixels, 32, generators)
    assert len(recwarn) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_cutouts": -1}, "num_cutouts from 0 to 10000, received -1"),
        ({"cutout_size": 0}, "cutout_size of at least 1, received 0"),
        ({"cutout_power": -1.0}, "cutout_power of 0 or more, received -1.0"),
        ({"reduction": "sum"}, "the reduction mean or min, received 'sum'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Multicrop(**settings)
