"""The advice that is given when memory runs out."""

import pytest

from doodl.guides import Symmetry
from doodl.render_settings import RenderSettings
from doodl.sampling import adjoints
from doodl.sampling.ddim import DDIM


@pytest.mark.parametrize(
    ("method", "adjoint", "advice"),
    [
        (None, None, None),
        (None, adjoints.ReversibleAdjoint(), None),
        (None, adjoints.BudgetAdjoint(), "ReversibleAdjoint"),
        (None, adjoints.DirectAdjoint(), "ReversibleAdjoint"),
        (None, adjoints.CheckpointAdjoint(), "ReversibleAdjoint"),
        (None, adjoints.StraightThroughAdjoint(), None),
        (None, adjoints.ShortcutAdjoint(), None),
        (DDIM(), adjoints.DirectAdjoint(), "CheckpointAdjoint"),
        (DDIM(), adjoints.CheckpointBudgetAdjoint(), "CheckpointAdjoint"),
        (DDIM(), adjoints.ShortcutAdjoint(), None),
        (DDIM(), adjoints.CheckpointAdjoint(), None),
    ],
)
def test_the_advice_names_an_adjoint_that_the_method_allows(method, adjoint, advice):
    settings = RenderSettings(Symmetry(), method=method, adjoint=adjoint)
    assert settings.lighter_adjoint() == advice
