"""Intervals and tests are those of scipy, and cover what they claim to cover."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from doodl.evaluation.preferences import majority
from doodl.evaluation.statistics import (
    FEWEST,
    Interval,
    any_success,
    clustered_mean,
    compare,
    expanded,
    prompts_needed,
    sign_test,
)


def keyed(rows):
    """Values by generation of one list of seeds a prompt."""
    return {
        (f"p{i:04}", j): float(v) for i, r in enumerate(rows) for j, v in enumerate(r)
    }


def test_with_one_seed_a_prompt_it_is_scipys_bootstrap_of_the_mean():
    values = np.random.default_rng(1).exponential(size=30)
    found = clustered_mean(keyed(values[:, None]))
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=expanded(30),
        random_state=np.random.default_rng(0),
    )
    limits = theirs.confidence_interval
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), rel=0.02)


def test_equal_seeds_widen_nothing_and_narrow_nothing():
    values = np.random.default_rng(2).normal(size=(20, 1))
    once = clustered_mean(keyed(values))
    often = clustered_mean(keyed(np.repeat(values, 50, axis=1)))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert (often.count, often.prompts) == (1000, 20)


def test_the_interval_of_many_prompts_is_that_of_the_normal_distribution():
    values = np.random.default_rng(3).normal(size=(400, 1))
    found = clustered_mean(keyed(values))
    error = values.std(ddof=1) / 20
    expected = values.mean() + 1.96 * error * np.array([-1, 1])
    assert (found.low, found.high) == pytest.approx(expected, abs=0.1 * error)


def test_clustered_intervals_cover_the_mean_and_unclustered_ones_do_not(monkeypatch):
    monkeypatch.setattr("doodl.evaluation.statistics.RESAMPLES", 599)
    random = np.random.default_rng(4)
    covered = {"clustered": 0, "not": 0}
    for _ in range(200):
        rows = random.normal(size=(24, 1)) + 0.5 * random.normal(size=(24, 4))
        flat = rows.reshape(-1, 1)
        for name, data in (("clustered", rows), ("not", flat)):
            found = clustered_mean(keyed(data))
            covered[name] += found.low <= 0 <= found.high
    assert 0.90 <= covered["clustered"] / 200 <= 0.98
    assert covered["not"] / 200 < 0.80


def test_the_memory_of_an_interval_is_bounded_and_its_limits_stay(monkeypatch):
    values = keyed(np.random.default_rng(7).normal(size=(2000, 1)))
    tracemalloc.start()
    found = clustered_mean(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # at once it would be 480 MB
    monkeypatch.setattr("doodl.evaluation.statistics.MOST_DRAWN", 2**40)
    assert clustered_mean(values) == found


def test_the_order_of_the_generations_changes_nothing():
    values = keyed(np.random.default_rng(2).normal(size=(20, 2)))
    turned = dict(reversed(values.items()))
    assert list(turned) != list(values)
    assert clustered_mean(turned) == clustered_mean(values)


def test_rounded_values_have_the_same_limits():
    random = np.random.default_rng(5)
    scores = random.normal(4, 1, (6, 4))
    values = {(str(i), s): float(v) for (i, s), v in np.ndenumerate(scores)}
    rounded = {key: float(f"{value:.6g}") for key, value in values.items()}
    found, other = clustered_mean(values), clustered_mean(rounded)
    assert (other.low, other.high) == pytest.approx((found.low, found.high), rel=2e-6)


def test_one_prompt_has_a_mean_and_no_interval():
    found = clustered_mean(keyed([[1.0, 2.0]]))
    assert (found.mean, found.count, found.prompts) == (1.5, 2, 1)
    assert not found.known
    assert not found.excludes_zero
    assert math.isnan(clustered_mean({}).mean)


def test_equal_values_have_an_interval_without_width():
    found = clustered_mean(keyed([[1.0], [1.0], [1.0]]))
    assert found == Interval(1.0, 1.0, 1.0, 3, 3, 3)
    assert clustered_mean(keyed([[1.0]] * 6)).excludes_zero


def test_few_prompts_decide_nothing_even_if_they_agree():
    assert not clustered_mean(keyed([[1.0]] * (FEWEST - 1))).excludes_zero
    # With one more, all alike, the exact sign test has p < 0.05.
    assert stats.binomtest(FEWEST, FEWEST).pvalue < 0.05
    assert stats.binomtest(FEWEST - 1, FEWEST - 1).pvalue > 0.05


def test_prompts_without_a_difference_do_not_decide():
    agree = [[1.0, 0.0]] * (FEWEST - 1) + [[1.0, -1.0]] * 9
    assert not clustered_mean(keyed(agree)).excludes_zero
    assert clustered_mean(keyed([[1.0, 0.0], *agree])).excludes_zero


def test_methods_that_mostly_tie_are_rarely_told_apart():
    random = np.random.default_rng(1)
    rows = random.normal(size=(200, 12)) * (random.random((200, 12)) < 0.25)
    decided = sum(clustered_mean(keyed(row[:, None])).excludes_zero for row in rows)
    assert decided <= 10  # counting ties as prompts that decide, it is 21


def test_few_prompts_without_a_difference_are_rarely_told_apart():
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 8))
    decided = sum(clustered_mean(keyed(row[:, None])).excludes_zero for row in rows)
    assert decided <= 18  # 5% are 10; without the expanded level it is 9% and more


def test_the_other_view_of_a_comparison_is_the_reversed_one():
    first, second = keyed([[1, 3], [0, 1], [2, 4]]), keyed([[0, 1], [1, 0], [2, 1]])
    found, other = compare(first, second), compare(second, first)
    assert found.reversed.difference.mean == other.difference.mean
    assert (found.reversed.wins, found.reversed.losses) == (other.wins, other.losses)
    assert found.reversed.reversed == found


def test_a_pair_counts_where_both_methods_have_the_generation():
    first = keyed([[1, 1], [0, 1], [2, math.nan]])
    second = keyed([[0, 1], [1, 0], [2, 5]]) | {("other", 0): 9.0}
    found = compare(first, second)
    assert (found.wins, found.ties, found.losses) == (2, 2, 1)
    assert found.difference.mean == pytest.approx(0.2)
    assert found.difference.count == 5


def test_the_sign_test_counts_prompts_not_seeds():
    differences = keyed([[1.0] * 30] * 5)
    assert sign_test(differences) == stats.binomtest(5, 5).pvalue == 2 * 0.5**5
    assert math.isnan(sign_test(keyed([[0.0], [0.0]])))


def test_swapped_methods_have_the_opposite_difference():
    random = np.random.default_rng(5)
    first, second = (keyed(random.normal(size=(9, 2))) for _ in range(2))
    one, other = compare(first, second), compare(second, first)
    assert one.difference.mean == pytest.approx(-other.difference.mean)
    assert (one.wins, one.losses, one.p) == (other.losses, other.wins, other.p)


def test_a_prompt_succeeds_with_one_seed():
    assert any_success(keyed([[0, 1], [0, 0], [math.nan, math.nan]])) == (1, 2)


def test_a_study_of_the_planned_size_has_the_interval_that_was_asked_for():
    random = np.random.default_rng(6)

    def draw(prompts, seeds):
        rows = random.normal(size=(prompts, 1)) + random.normal(size=(prompts, seeds))
        return keyed(rows)

    needed = prompts_needed(draw(400, 2), 0.25, seeds=4)
    assert needed == pytest.approx(1.25 * (1.96 / 0.25) ** 2, rel=0.15)
    found = clustered_mean(draw(needed, 4))
    assert (found.high - found.low) / 2 == pytest.approx(0.25, rel=0.25)


def test_a_pilot_without_repeated_seeds_is_refused():
    with pytest.raises(ValueError, match="2 prompts with 2 seeds each"):
        prompts_needed(keyed([[1.0], [2.0]]), 0.1, seeds=2)


def test_a_majority_is_more_than_half():
    assert majority(["same", "same", "other"]) == "same"
    assert majority(["same", "other"]) is None
    assert majority([]) is None
