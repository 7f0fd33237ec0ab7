"""Means and paired differences with intervals, where seeds are clustered in prompts.

Seeds of one prompt resemble each other. Every interval therefore comes from a bootstrap
that draws whole prompts, with all of their seeds, and every test counts prompts.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

RESAMPLES = 9999
"""Bootstrap samples of an interval."""
MOST_DRAWN = 2**22
"""Prompts that a bootstrap draws at a time, which bounds its memory."""
LEVEL = 0.95
"""Confidence level of every interval."""
STANDINGS = ("ahead of", "behind", "not told apart from")
"""What the interval of a difference says of the first method against the second."""
FEWEST = 6
"""Prompts that decide: of fewer, all alike, an exact sign test finds p > 0.05.

Prompts whose methods are equal do not decide, as in that test.
"""
Key = tuple[str, Hashable]
"""A generation: its prompt, and what tells the prompt's generations apart.

The picture that is edited takes the place of a prompt that is missing.
"""


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Args:
        mean: mean of all values; NaN without any.
        low: lower limit; NaN for fewer than two prompts.
        high: upper limit; likewise.
        count: number of values.
        prompts: number of prompts that they belong to.
        deciding: number of prompts whose values have a sum other than zero.
    """

    mean: float
    low: float
    high: float
    count: int
    prompts: int
    deciding: int

    @property
    def known(self) -> bool:
        """Whether there are limits."""
        return not math.isnan(self.low)

    @property
    def excludes_zero(self) -> bool:
        """Whether it lies on one side of zero, and enough prompts decide."""
        return self.deciding >= FEWEST and (self.low > 0 or self.high < 0)

    @property
    def standing(self) -> str:
        """What a difference says of the first method: one of `STANDINGS`."""
        ahead, behind, neither = STANDINGS
        return neither if not self.excludes_zero else ahead if self.mean > 0 else behind


@dataclass(frozen=True)
class Comparison:
    """Paired differences of two methods on the same generations.

    Args:
        difference: first method minus second one.
        wins: generations where the first is higher.
        ties: generations where both are equal.
        losses: generations where the first is lower.
        p: two-sided exact sign test over prompts: each counts once, by the sign of its
            mean difference. NaN where no prompt has a sign.
    """

    difference: Interval
    wins: int
    ties: int
    losses: int
    p: float

    @property
    def reversed(self) -> Comparison:
        """The same seen from the second method."""
        found = self.difference
        turned = replace(found, mean=-found.mean, low=-found.high, high=-found.low)
        return Comparison(turned, self.losses, self.ties, self.wins, self.p)


def clustered_mean(values: Mapping[Key, float], *, seed: int = 0) -> Interval:
    """Return the mean of values with its interval, from a bootstrap over prompts.

    Every draw takes prompts with replacement and computes the mean of all their values;
    the limits are bias-corrected and accelerated (BCa), at the level of `expanded`.

    Args:
        values: one a generation; NaN counts as missing.
        seed: of the bootstrap's draws.
    """
    groups = _by_prompt(values)
    sums = np.array([math.fsum(group) for group in groups.values()])
    counts = np.array([len(group) for group in groups.values()], dtype=float)
    if not len(groups):
        return Interval(math.nan, math.nan, math.nan, 0, 0, 0)
    mean = _ratio(sums, counts)
    several = len(groups) > 1
    limits = _limits(sums, counts, mean, seed) if several else (math.nan, math.nan)
    sizes = int(counts.sum()), len(groups), int(np.count_nonzero(sums))
    return Interval(float(mean), *limits, *sizes)


def _by_prompt(values: Mapping[Key, float]) -> dict[str, list[float]]:
    """Return the values of each prompt, without NaN, the prompts sorted.

    A bootstrap draws by position: in the order of `values`, which may be that of a set,
    the same values would have other limits in another process.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for (prompt, _), value in values.items():
        if not math.isnan(value):
            groups[prompt].append(value)
    return dict(sorted(groups.items()))


def _ratio(sums: Any, counts: Any, axis: int = -1) -> Any:
    return sums.sum(axis) / counts.sum(axis)


def expanded(count: int) -> float:
    """Return the level at which a bootstrap of `count` values covers `LEVEL`.

    A bootstrap of few values is too narrow: it divides by n in place of n - 1, and has
    the tails of a normal distribution in place of Student's (the expanded interval of
    Hesterberg, "What Teachers Should Know about the Bootstrap", arXiv 1411.5279).
    """
    student = stats.t.ppf(0.5 + LEVEL / 2, count - 1)
    return float(1 - 2 * stats.norm.sf(student * math.sqrt(count / (count - 1))))


def _limits(sums: Any, counts: Any, mean: Any, seed: int) -> tuple[float, float]:
    if np.ptp(sums / counts) == 0:  # every draw has the same mean
        return float(mean), float(mean)
    # On a grid sums are exact, so that BCa, which counts draws below the mean, does not
    # count errors of rounding where the same prompts were drawn in another order.
    unit = 2.0 ** (math.frexp(np.abs(sums).max())[1] - 36)
    sums = np.rint(sums / unit) * unit
    options: dict[str, Any] = {
        "paired": True,
        "vectorized": True,
        "n_resamples": RESAMPLES,
        "batch": max(1, MOST_DRAWN // len(sums)),
        "confidence_level": expanded(len(sums)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate BCa is handled below
        for method in ("BCa", "percentile"):
            random = np.random.default_rng(seed)
            found = stats.bootstrap(
                (sums, counts), _ratio, method=method, random_state=random, **options
            ).confidence_interval
            if math.isfinite(found.low) and math.isfinite(found.high):
                break
    return float(found.low), float(found.high)


def compare(first: Mapping[Key, float], second: Mapping[Key, float]) -> Comparison:
    """Return the paired comparison of two methods on the generations that both have.

    Args:
        first: scores of one method by generation; NaN counts as missing.
        second: scores of the other method.
    """
    differences = {
        key: value - second[key]
        for key, value in first.items()
        if key in second and not math.isnan(value - second[key])
    }
    signs = Counter(_sign(value) for value in differences.values())
    return Comparison(
        difference=clustered_mean(differences),
        wins=signs[1],
        ties=signs[0],
        losses=signs[-1],
        p=sign_test(differences),
    )


def sign_test(differences: Mapping[Key, float]) -> float:
    """Return the two-sided p of the exact sign test over prompts.

    A prompt counts once, by the sign of the sum of its differences, because the seeds
    of one prompt are not independent; prompts without a sign are left out.
    """
    groups = _by_prompt(differences).values()
    signs = Counter(_sign(math.fsum(group)) for group in groups)
    decided = signs[1] + signs[-1]
    return float(stats.binomtest(signs[1], decided).pvalue) if decided else math.nan


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def any_success(verdicts: Mapping[Key, float]) -> tuple[int, int]:
    """Return the number of prompts with a success at any seed, and of all prompts."""
    groups = _by_prompt(verdicts).values()
    return sum(max(group) > 0.5 for group in groups), len(groups)


def prompts_needed(
    differences: Mapping[Key, float], half_width: float, *, seeds: int
) -> int:
    """Return how many prompts an interval of +- `half_width` needs, from a pilot.

    The variance of a mean difference is (b + w / seeds) / prompts, with the variance b
    between prompts and w between seeds of one prompt, both estimated from the pilot.

    Args:
        differences: of the pilot's generations, two seeds a prompt or more.
        half_width: of the 95% interval that is wanted.
        seeds: number of seeds of each prompt.

    Raises:
        ValueError: the pilot has fewer than two prompts, or a prompt with one seed.
    """
    groups = _by_prompt(differences)
    if len(groups) < 2 or min(map(len, groups.values())) < 2:
        raise ValueError(
            "Expected a pilot of at least 2 prompts with 2 seeds each, received "
            f"{len(groups)} prompts with {sorted(map(len, groups.values()))} seeds."
        )
    within = float(np.mean([np.var(group, ddof=1) for group in groups.values()]))
    size = float(stats.hmean([len(group) for group in groups.values()]))
    means = [float(np.mean(group)) for group in groups.values()]
    between = max(0.0, float(np.var(means, ddof=1)) - within / size)
    z = float(stats.norm.ppf(0.5 + LEVEL / 2))
    return max(2, math.ceil((between + within / seeds) * (z / half_width) ** 2))
