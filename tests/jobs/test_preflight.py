"""The preflight: settings that nothing would use."""

import warnings

import pytest
from lightning import Trainer

from doodl.guided_generation import GuidedGeneration
from doodl.guides import Ensemble, Guide, Symmetry
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.preflight import preflight


class Own(Guide):
    """A guide that a user wrote, which may read the class."""

    def forward(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3))


def check(guide, **data):
    module = GuidedGeneration("shapes", guide)
    trainer = Trainer(logger=False, max_epochs=-1)
    preflight(module, module.settings, trainer, PromptsAndSeeds(["a"], **data))


@pytest.mark.parametrize("guide", [Symmetry, lambda: Ensemble([Symmetry()])])
def test_a_class_that_no_guide_uses_is_warned_about(guide):
    with pytest.warns(UserWarning, match="No guide uses the class 'ring'; choose doo"):
        check(guide(), target="ring")


def test_a_class_that_may_be_used_is_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", module="lightning")
        check(Own(), target="ring")
        check(Ensemble([Symmetry(), Own()]), target="ring")
        check(Symmetry())
