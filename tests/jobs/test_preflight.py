"""The preflight: settings and columns that nothing would use."""

import warnings

import pytest
from lightning import Trainer
from lightning.pytorch.callbacks import (
    GradientAccumulationScheduler,
    StochasticWeightAveraging,
)
from PIL import Image

from doodl.guided_generation import GuidedGeneration
from doodl.guides import Classifier, Ensemble, Guide, Symmetry
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.preflight import preflight


class Own(Guide):
    """A guide that a user wrote, which may read the class."""

    def forward(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3))


def check(guide, prompts=("a",), **data):
    module = GuidedGeneration("shapes", guide)
    trainer = Trainer(logger=False, max_epochs=-1)
    preflight(module, module.settings, trainer, PromptsAndSeeds(prompts, **data))


@pytest.mark.parametrize("guide", [Symmetry, lambda: Ensemble([Symmetry()])])
def test_a_class_that_no_guide_uses_is_warned_about(guide):
    with pytest.warns(UserWarning, match="No guide uses the class 'ring'; choose doo"):
        check(guide(), target="ring")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("class\nring", "the class 'ring'; choose doodl.guides.Classifier, or leave"),
        ("guide_prompt\na blue star", "the guide prompt 'a blue star'; choose"),
        ("image\npicture.png", "the picture '.*picture.png'; choose"),
    ],
)
def test_a_column_that_no_guide_uses_is_warned_about(tmp_path, columns, words):
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.png")
    name, value = columns.split("\n")
    file = tmp_path / "prompts.csv"
    value = str(tmp_path / value) if name == "image" else value
    file.write_text(f"prompt,{name}\na red ring,{value}\n")
    with pytest.warns(UserWarning, match=f"No guide uses {words}"):
        check(Symmetry(), prompts=str(file))


def test_a_class_that_may_be_used_is_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", module="lightning")
        check(Own(), target="ring")
        check(Ensemble([Symmetry(), Own()]), target="ring")
        check(Classifier("shapes/fine"), target="striped house")
        check(Symmetry())


@pytest.mark.parametrize(
    "callback",
    [GradientAccumulationScheduler({0: 2}), StochasticWeightAveraging(swa_lrs=0.1)],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_change_the_updates_are_refused(callback):
    module = GuidedGeneration("shapes", Symmetry())
    trainer = Trainer(logger=False, max_epochs=-1, callbacks=[callback])
    with pytest.raises(ValueError, match=f"no callback {type(callback).__name__}"):
        preflight(module, module.settings, trainer, PromptsAndSeeds(["a"]))
