import pytest
import torch

from doodl.shapes.towers import GUIDES, JUDGES
from doodl.shapes.training import QUARTERS, draw_number


def test_no_two_trainings_share_a_draw():
    numbers = {
        draw_number(seed, step, quarter)
        for seed in (1, 2)
        for step in (0, 1, 1_000_002)
        for quarter in range(QUARTERS)
    }
    assert len(numbers) == 24


def test_guides_see_even_draws_and_judges_different_odd_ones():
    quarters = {name: tower.quarter for name, tower in (GUIDES | JUDGES).items()}
    guides = {quarters[name] for name in GUIDES}
    judges = [quarters[name] for name in JUDGES]
    assert all(draw_number(11, 5, quarter) % 2 == 0 for quarter in guides)
    assert all(draw_number(11, 5, quarter) % 2 == 1 for quarter in judges)
    assert len(set(judges)) == len(judges)


def test_a_draw_of_no_quarter_is_refused():
    with pytest.raises(ValueError, match="quarter from 0 to 3"):
        draw_number(1, 1, 4)


def test_a_generators_seed_is_the_draws_number():
    from doodl.shapes.fine import FineTraining

    training = FineTraining("fine_judge", steps=1)
    seed = draw_number(training.seed, 0, training.quarter)
    expected = torch.Generator().manual_seed(seed)
    assert torch.equal(training.generator().get_state(), expected.get_state())
