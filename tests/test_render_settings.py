"""The advice that is given when memory runs out."""

import pytest
import torch

from doodl.guides import Symmetry
from doodl.render_settings import RenderSettings
from doodl.sampling import adjoints
from doodl.sampling.ddim import DDIM
from doodl.trajectory import warn_of_gap


@pytest.mark.parametrize(
    ("method", "adjoint", "advice"),
    [
        (None, None, None),
        (None, adjoints.ReversibleAdjoint(), None),
        (None, adjoints.BudgetAdjoint(), "ReversibleAdjoint"),
        (None, adjoints.DirectAdjoint(), "ReversibleAdjoint"),
        (None, adjoints.CheckpointAdjoint(), "ReversibleAdjoint"),
        (None, adjoints.StraightThroughAdjoint(), None),
        (DDIM(), adjoints.DirectAdjoint(), "CheckpointAdjoint"),
        (DDIM(), adjoints.CheckpointBudgetAdjoint(), "CheckpointAdjoint"),
        (DDIM(), adjoints.StraightThroughAdjoint(), None),
        (DDIM(), adjoints.CheckpointAdjoint(), None),
    ],
)
def test_the_advice_names_an_adjoint_that_the_method_allows(method, adjoint, advice):
    settings = RenderSettings(Symmetry(), method=method, adjoint=adjoint)
    assert settings.lighter_adjoint() == advice


@pytest.mark.parametrize("guide", [None, 5, lambda pixels: pixels])
def test_a_guide_has_to_be_one(guide):
    with pytest.raises(ValueError, match="Expected a guide, an object of a subclass"):
        RenderSettings(guide)


def test_a_gap_that_is_no_number_is_not_blamed_on_the_mixing(recwarn):
    assert not warn_of_gap(torch.tensor([torch.nan]), 0.75, 20)
    assert not recwarn
