"""User code that misbehaves during a run: no silent end, no other loss."""

from dataclasses import replace

import pytest
import torch

from doodl.events import GenerationCallback
from doodl.guides import Guide

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


def test_a_filter_that_loses_scores_is_an_error(fit):
    class Losing(GenerationCallback):
        def filter(self, rendering):
            return replace(rendering, guide=rendering.guide[:0])

    with pytest.raises(ValueError, match="score of each of 2 generations, received 0"):
        fit(callbacks=[Losing()], **SMALL)
