"""Cross-entropy search: what it keeps, what it finds, and bad input."""

import pytest
import torch

from doodl import latents as pairs
from doodl.baselines import BestOfN, CrossEntropySearch
from doodl.baselines.cross_entropy import LowBandSearch

SEEDS, SHAPE = (3, 4), (4, 8, 8)


def draw(number):
    return pairs.redraw(SEEDS, number, SHAPE)


def best(score, search, count):
    """The best of `count` scores, with and without a search."""
    found = []
    for number in range(count):
        noise = search.ask(draw(number)) if search else draw(number)
        found.append(score(noise))
        if search:
            search.tell(found[-1])
    return torch.stack(found).amax(dim=0)


def test_the_first_sample_is_the_seeds_own_noise():
    own = draw(0)
    found = LowBandSearch(own, 10, 5, 2).ask(own)
    torch.testing.assert_close(found, own)


def test_the_low_band_of_white_noise_is_white_and_only_it_is_searched():
    search = LowBandSearch(draw(0), 10, 5, 1)
    many = pairs.redraw(range(200), 0, SHAPE)
    assert search.low(many).std().item() == pytest.approx(1, abs=0.02)
    found = search.ask(draw(1))
    norms = found.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, draw(0).flatten(1).norm(dim=1))

    def rest(z):
        means = torch.nn.functional.avg_pool2d(z, 2)
        return z - torch.nn.functional.interpolate(means, scale_factor=2)

    ratio = rest(found) / rest(draw(0))  # one number: the norm was restored
    for generation in ratio:
        torch.testing.assert_close(generation, generation[0, 0, 0].expand(SHAPE))


def test_it_finds_a_target_in_the_low_band_where_draws_alone_do_not():
    target = LowBandSearch(draw(0), 10, 5, 2).low(draw(999))

    def score(noise):
        low = torch.nn.functional.avg_pool2d(noise, 4) * 4
        return -(low - target).square().mean(dim=(1, 2, 3))

    searched = best(score, LowBandSearch(draw(0), 10, 5, 2), 100)
    assert (searched > best(score, None, 100) + 0.1).all()


def test_a_generation_is_searched_as_if_it_were_alone():
    def score(noise):
        return noise.mean(dim=(1, 2, 3))

    together = best(score, LowBandSearch(draw(0), 4, 2, 1), 12)
    search = LowBandSearch(draw(0)[1:], 4, 2, 1)
    alone = []
    for number in range(12):
        alone.append(score(search.ask(draw(number)[1:])))
        search.tell(alone[-1])
    torch.testing.assert_close(torch.stack(alone).amax(dim=0), together[1:])


def test_a_sample_without_a_score_is_never_among_the_elites():
    search = LowBandSearch(draw(0), 3, 2, 1)
    lows = []
    for number in range(3):
        lows.append(search.low(search.ask(draw(number))))
        search.tell(torch.full((2,), float("nan") if number == 1 else 0.0))
    torch.testing.assert_close(
        search.mean, (search.low(draw(0)) + search.low(draw(2))) / 2
    )


def test_predict_runs_it_and_the_first_picture_is_best_of_ns(fit):
    options = {"stage": "predict", "seeds": (3,), "prompts": "a"}
    (searched,) = fit(
        baseline=CrossEntropySearch(4, population=3, elites=2), **options
    ).kept
    (drawn,) = fit(baseline=BestOfN(1), **options).kept
    torch.testing.assert_close(searched.first[0].pixels, drawn.first[0].pixels)
    assert searched.best[0].guide >= searched.first[0].guide


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"samples": 0}, "samples of at least 1"),
        ({"elites": 1}, "at least 2 elites"),
        ({"elites": 10}, "elites 10 and population 10"),
        ({"level": -1}, "level of 0 or more, received -1"),
    ],
)
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropySearch(**values)


def test_latents_that_have_no_such_band_are_refused():
    with pytest.raises(
        ValueError, match=r"multiples of 2\^level = 4, received \(6, 8\)"
    ):
        LowBandSearch(torch.zeros(1, 4, 6, 8), 10, 5, 2)
