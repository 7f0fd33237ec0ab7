"""Best of N: how many, and bad input."""

import pytest

from doodl.baselines.best_of_n import BestOfN


def test_n_costs_what_the_updates_cost():
    assert BestOfN(updates=20).samples == 136
    assert BestOfN(samples=5).samples == 5


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="samples of at least 1"):
        BestOfN(samples=0)
    with pytest.raises(ValueError, match="updates of at least 1"):
        BestOfN(updates=0)
