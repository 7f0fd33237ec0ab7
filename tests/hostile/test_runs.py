"""User code that misbehaves during a run: no silent end, no other loss."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from doodl import cli
from doodl.baselines import Baseline
from doodl.callbacks import Results
from doodl.command import end as end_job
from doodl.events import GenerationCallback
from doodl.exits import NothingMade
from doodl.generation import Generation
from doodl.guides import Guide
from processes import end, start

SMALL = {"num_steps": 2, "num_updates": 2}


class Dark(Guide):
    def forward(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3))


class Terms(Dark):
    """Reports further terms, in an inconvenient order, one of them broken."""

    def terms(self, pixels, targets):
        loss = self(pixels, targets)
        return {"light": -5 * loss, "loss": loss, "broken": loss * torch.nan}


class Counting(Dark):
    """Multiplies its targets in place."""

    def prepare(self, generations):
        return {"factor": torch.ones(len(generations))}

    def score(self, pixels, targets):
        return -targets["factor"].mul_(2) * self(pixels, {})


class Ending(Dark):
    """Raises StopIteration in its third score, after any rehearsal."""

    calls = 0

    def score(self, pixels, targets):
        type(self).calls += 1
        if self.calls > 2:
            raise StopIteration
        return super().score(pixels, targets)


class Short(Dark):
    def score(self, pixels, targets):
        scores = super().score(pixels, targets)
        return scores[:0] if len(pixels) == 1 else scores


def test_only_the_loss_is_optimised_whatever_the_order_of_terms(fit):
    plain, terms = (fit(guide=guide, **SMALL) for guide in (Dark(), Terms()))
    for a, b in zip(plain.kept[0].last, terms.kept[0].last, strict=True):
        assert torch.equal(a.latents, b.latents)
    assert not any(terms.kept[0].failures)


def test_a_score_that_changes_its_targets_stays_the_same(fit):
    plain, counting = (fit(guide=guide, **SMALL) for guide in (Dark(), Counting()))
    for a, b in zip(plain.kept[0].last, counting.kept[0].last, strict=True):
        assert b.guide == pytest.approx(2 * a.guide)


def test_a_guides_stop_iteration_is_an_error(fit):
    with pytest.raises(ValueError, match="no StopIteration .*test_runs.py, line"):
        fit(guide=Ending(), **SMALL)


def test_a_callbacks_stop_iteration_is_an_error(fit):
    class Stopping(GenerationCallback):
        def on_rendered(self, trajectory, rendering, terms):
            raise StopIteration

    with pytest.raises(RuntimeError, match="a callback raised StopIteration"):
        fit(callbacks=[Stopping()], **SMALL)


def test_a_score_less_is_an_error(fit):
    with pytest.raises(ValueError, match=r"one score a picture, \(1,\), .* Short"):
        fit(prompts=("a ring",), guide=Short(), **SMALL)


def test_a_filter_changes_pixels_only(fit):
    class Changing(GenerationCallback):
        changes_images = False

        def filter(self, rendering):
            changed = {
                "guide": rendering.guide[:0],
                "update": 7,
                "verdicts": [True] * 9,
            }
            return replace(rendering, pixels=rendering.pixels * 0, **changed)

    (plain,), (changed,) = (
        fit(callbacks=found, **SMALL).kept for found in ([], [Changing()])
    )
    assert (changed.last[0].pixels == 0).all()
    assert changed.last[0].guide == plain.last[0].guide
    assert changed.last[0].update == plain.last[0].update


class Returning(GenerationCallback):
    """Returns something else from one of its methods."""

    changes_images = False

    def __init__(self, method, value):
        setattr(self, method, lambda *seen: value)


@pytest.mark.parametrize(
    ("method", "value", "expected"),
    [
        ("stops", {0: 5}, "reasons by position in the batch from stops"),
        ("stops", {99: "x"}, "reasons by position"),
        ("stops", {-1: "x"}, "reasons by position"),
        ("stops", None, "reasons by position"),
        ("stops", ["x"], "reasons by position"),
        ("stops", {0: " "}, "reasons by position"),
        ("stops", {0: "\ud800"}, "reasons by position"),
        ("views", 5, "Views or None from views"),
        ("saved_state", {"update": 1}, "a state of on_state from saved_state"),
        (
            "filter",
            None,
            "fitting pixels from filter of the callback Returning",
        ),
        ("remaining", None, "generations of the batch from remaining"),
        ("remaining", [Generation("another", 0)], "generations of the batch"),
    ],
)
def test_what_a_callback_returns_is_checked(fit, method, value, expected):
    with pytest.raises(ValueError, match=f"{expected}.*correct what it returns"):
        fit(callbacks=[Returning(method, value)], **SMALL)


class Judge:
    """Gives the same verdicts, whatever it sees."""

    def __init__(self, *found):
        self.found = list(found)

    def load(self, device="cpu"):
        pass

    def verdicts(self, pixels, generations):
        return self.found


@pytest.mark.parametrize("found", [[1, 0], ["wrong", None], [True], [], [0.5, 0.5]])
def test_verdicts_are_true_false_or_none_for_each_picture(fit, found):
    words = "2 values True, False or None, one a picture, from verdicts of Judge"
    with pytest.raises(ValueError, match=words):
        fit(verdict=Judge(*found), **SMALL)


def test_numpys_verdicts_are_pythons(fit):
    (trajectory,) = fit(verdict=Judge(np.bool_(True), None), **SMALL).kept
    assert [shot.verdict for shot in trajectory.last] == [True, None]


class Yielding(Baseline):
    """Yields the given values."""

    def __init__(self, *found, selector="guide"):
        self.found, self.selector = found, selector

    def __call__(self, renderer, batch, latents, num_updates):
        yield from self.found


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        (Yielding(), "at least one Rendering from the baseline Yielding"),
        (Yielding(None), "a Rendering from the baseline Yielding, received None"),
        (Yielding(selector="best"), "selector 'guide' or 'last' of .* Yielding, rece"),
    ],
)
def test_what_a_baseline_yields_is_checked(fit, baseline, words):
    with pytest.raises(ValueError, match=words):
        fit(stage="predict", baseline=baseline, **SMALL)


def test_a_state_that_raises_stop_iteration_is_an_error(fit):
    class Stopping(GenerationCallback):
        def state_dict(self):
            raise StopIteration

    with pytest.raises(RuntimeError, match="a callback raised StopIteration"):
        fit(callbacks=[Stopping()], **SMALL)


ENDING = """import lightning
class Own(lightning.Callback):
    count = 0
    def on_train_batch_end(self, *given):
        Own.count += 1
        if Own.count == 3:
            raise StopIteration
"""


def test_a_job_that_a_callback_ends_does_not_succeed(
    shapes, monkeypatch, capsys, tmp_path
):
    (tmp_path / "ending.py").write_text(ENDING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    job = ["fit", "--config", "symmetry", "--model.num_steps=2", "--data.seeds=[0,1]"]
    job += ["--model.num_updates=2", '--data.prompts=["a red circle"]']
    job += ["--data.batch_size=1", "--trainer.callbacks+=ending.Own"]
    with pytest.raises(SystemExit) as exit_:
        cli.main(job)
    assert exit_.value.code == 1
    assert "1 of 2 generations were not made, since a callback" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("ranks", [1, 2])
def test_other_ranks_may_still_be_working(monkeypatch, tmp_path, ranks):
    results = Results(str(tmp_path))
    results.generations = [Generation("a", 0), Generation("b", 0)]
    monkeypatch.setattr(results, "rows", lambda: [{"status": "finished"}])
    monkeypatch.setattr(results, "report", lambda: None)
    trainer = SimpleNamespace(
        callbacks=[results], is_global_zero=True, world_size=ranks
    )
    if ranks > 1:
        end_job(trainer)
        return
    with pytest.raises(NothingMade, match="1 of 2 generations were not made"):
        end_job(trainer)


def test_files_named_as_libraries_change_nothing(tmp_path):
    for name in ("open_clip", "timm", "diffusers", "torch", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n")
    command = [Path(sys.executable).with_name("doodl"), "fit"]
    command += ["--model.num_steps=1", "--model.num_updates=1", "--data.seeds=[0]"]
    command += ["--data.prompts", '["a red circle"]', "--trainer.accelerator=cpu"]
    code, output = end(start(command, cwd=tmp_path))
    assert code == 0, output
