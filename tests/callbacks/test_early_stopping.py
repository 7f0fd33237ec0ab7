"""Early stopping: the policy, and what stopping does to a generation and its batch."""

import csv

import pytest
import torch

from doodl.callbacks import EarlyStopping, Results
from doodl.guides import Guide


class Script(Guide):
    """Scores as written: one row an update, one column a generation."""

    def __init__(self, rows):
        super().__init__()
        self.rows = iter(torch.tensor(rows))

    def forward(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3))

    def score(self, pixels, targets):
        return next(self.rows)


@pytest.mark.parametrize(
    ("settings", "scores", "reason"),
    [
        ({}, [0, 0, 0, 0], None),
        ({"target": 0.5}, [0.1, 0.4], None),
        ({"target": 0.5}, [0.1, 0.5], "guide reached 0.5"),
        ({"target": 0.5, "monitor": "judge"}, [0.9], "judge reached 0.5"),
        ({"target": 0.5}, [0.6, 0.4], None),
        ({"patience": 2}, [1, 1], None),
        ({"patience": 2}, [1, 1, 1], "guide did not improve in 2 updates"),
        ({"patience": 2}, [1, 0, 2, 0], None),
        ({"patience": 2}, [1, 0, 2, 0, 2], "guide did not improve in 2 updates"),
        ({"patience": 1, "min_delta": 0.5}, [0, 1, 2], None),
        (
            {"patience": 1, "min_delta": 0.5},
            [0, 1, 1.4],
            "guide did not improve in 1 updates",
        ),
        ({"patience": 1, "target": 3.0}, [1, 1, 3], "guide reached 3"),
    ],
)
def test_policy(settings, scores, reason):
    assert EarlyStopping(**settings).reason(scores) == reason


def test_slow_gains_below_min_delta_do_not_add_up():
    # Each is an improvement by less than half, measured from the best so far.
    policy = EarlyStopping(patience=3, min_delta=0.5)
    assert policy.reason([0, 0.4, 0.8, 1.2]) == "guide did not improve in 3 updates"


def test_a_stopped_generation_keeps_its_bits_and_the_others_go_on(fit):
    rows = [[0.0, 0.0], [1.0, 0.0], [9.0, 2.0], [9.0, 3.0]]
    module = fit(
        num_updates=3, guide=Script(rows), callbacks=[EarlyStopping(target=1.0)]
    )
    trajectory = module.kept[0]
    assert trajectory.reasons == ["guide reached 1", "guide reached 1"]
    renderings = module.renderings
    assert [r.update for r in renderings] == [0, 1, 2]
    after = [r.latents[:, 0] for r in renderings]
    assert not after[0].equal(after[1])
    assert after[1].equal(after[2])
    assert module.latents.data[:, 0].equal(after[1])
    assert not renderings[1].latents[:, 1].equal(renderings[2].latents[:, 1])
    # What is seen of it after its end is not recorded.
    assert (trajectory.best[0].guide, trajectory.last[0].update) == (1.0, 1)


def test_an_ended_batch_saves_its_calls_and_the_next_one_begins(fit, counted):
    rows = [[1.0, 1.0]] * 2
    module = fit(
        num_steps=1,
        num_updates=4,
        seeds=(0, 1),
        batch_size=2,
        guide=Script(rows),
        callbacks=[EarlyStopping(target=1.0)],
    )
    assert len(counted.no_grad) == 2 * 2
    assert [t.reasons for t in module.kept] == [["guide reached 1"] * 2] * 2


def test_the_reason_is_in_the_manifest(fit, tmp_path):
    rows = [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    fit(
        guide=Script(rows),
        callbacks=[EarlyStopping(target=1.0), Results(str(tmp_path / "out"))],
    )
    with (tmp_path / "out" / "manifest.csv").open() as file:
        stopped = {row["prompt"]: row for row in csv.DictReader(file)}
    red, blue = stopped["a red circle"], stopped["a blue star"]
    assert (red["status"], red["reason"]) == ("stopped", "guide reached 1")
    assert (blue["status"], blue["reason"]) == ("finished", "")
    assert (red["updates"], blue["updates"]) == ("0", "2")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 0}, "a patience of at least 1, received 0"),
        ({"min_delta": -1.0}, "a min_delta of 0 or more, received -1.0"),
        ({"target": float("nan")}, "a finite target, received nan"),
        ({"monitor": "loss"}, "the monitor guide or judge, received 'loss'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**settings)


def test_a_judge_that_is_not_there_is_refused_before_anything_is_loaded(
    fit, monkeypatch
):
    monkeypatch.setattr("doodl.pretrained.load_text_to_image", pytest.fail)
    with pytest.raises(ValueError, match="Expected a judge for"):
        fit(callbacks=[EarlyStopping("judge", target=1.0)])
