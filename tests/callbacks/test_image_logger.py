"""The TensorBoard log, read back with TensorBoard's own reader."""

import io

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from doodl.callbacks import EarlyStopping, ImageLogger
from doodl.guides import Ensemble, Guide, Symmetry

LATENTS = ("latent_norm", "autocorrelation", "kurtosis", "pair_gap")
STEP = ("grad_norm", "clipped_fraction")


class Dark(Guide):
    def forward(self, pixels, targets):
        return pixels.mean(dim=(1, 2, 3))


@pytest.fixture
def log(fit, tmp_path):
    """Logs a fit; returns the module and each generation's reader."""

    def run(callbacks=(), every_n_updates=2, max_generations=64, **settings):
        logger = ImageLogger(str(tmp_path), every_n_updates, max_generations)
        module = fit(callbacks=[logger, *callbacks], **settings)
        readers = {}
        for folder in sorted((tmp_path / "tensorboard").iterdir()):
            readers[folder.name] = EventAccumulator(str(folder)).Reload()
        module.totals = readers.pop("totals-0")
        return module, readers

    return run


def steps(events):
    return [event.step for event in events]


def test_every_generation_is_a_run_of_its_own(log):
    module, readers = log(seeds=(0, 1), batch_size=3)
    ids = [g.id for t in module.kept for g in t.generations]
    assert sorted(readers) == sorted(ids)


def test_scalars_are_what_was_measured_at_each_update(log):
    module, readers = log(num_updates=3, judge=Symmetry())
    for i, generation in enumerate(module.kept[0].generations):
        reader = readers[generation.id]
        for score in ("score/guide", "score/judge"):
            events = reader.Scalars(score)
            assert steps(events) == [0, 1, 2, 3]
            expected = [r.guide[i].item() for r in module.renderings]
            assert [e.value for e in events] == pytest.approx(expected)
        gaps = [r.gap[i].item() for r in module.renderings[:3]]
        events = reader.Scalars("latents/pair_gap")
        assert [e.value for e in events] == pytest.approx(gaps)
        for name in ("loss", *(f"latents/{n}" for n in (*LATENTS, *STEP))):
            assert steps(reader.Scalars(name)) == [0, 1, 2]


def test_totals_are_means_over_all_that_have_ended(log):
    module, _ = log(seeds=(0, 1), batch_size=3, max_generations=1)
    shots = [(t.first[i], t.best[i]) for t in module.kept for i in range(len(t))]
    for k, name in enumerate(("first", "best")):
        events = module.totals.Scalars(f"total/guide_{name}")
        assert steps(events) == [3, 4]
        scores = [pair[k].guide for pair in shots]
        assert events[0].value == pytest.approx(sum(scores[:3]) / 3)
        assert events[1].value == pytest.approx(sum(scores) / 4)


def test_the_members_of_an_ensemble_are_logged_by_name(log):
    _, readers = log(guide=Ensemble([Symmetry(), Dark()], [3.0, 1.0]), num_updates=2)
    for reader in readers.values():
        parts = [reader.Scalars(f"loss_{name}") for name in ("Symmetry", "Dark")]
        for whole, *part in zip(reader.Scalars("loss"), *parts, strict=True):
            weighted = 0.75 * part[0].value + 0.25 * part[1].value
            assert whole.value == pytest.approx(weighted, rel=1e-5)


def test_the_cost_of_every_update_is_logged(log):
    _, readers = log(num_updates=2)
    for reader in readers.values():
        for name in ("cost/seconds", "cost/peak_mib"):
            events = reader.Scalars(name)
            assert steps(events) == [0, 1]
            assert all(event.value > 0 for event in events)


def test_pictures_are_original_current_and_best(log):
    module, readers = log(num_updates=3)
    trajectory = module.kept[0]
    for i, generation in enumerate(trajectory.generations):
        events = readers[generation.id].Images("original_current_best")
        assert steps(events) == [0, 2, 3]
        strip = Image.open(io.BytesIO(events[-1].encoded_image_string))
        assert strip.size == (3 * 32, 32)
        shots = (trajectory.first[i], trajectory.last[i], trajectory.best[i])
        for k, shot in enumerate(shots):
            part = strip.crop((32 * k, 0, 32 * (k + 1), 32))
            red = part.getpixel((5, 7))[0]
            assert red == pytest.approx(255 * shot.pixels[0, 7, 5].item(), abs=1)


def test_an_ended_generation_is_logged_up_to_its_end(log):
    module, readers = log([EarlyStopping(target=-99.0)], num_updates=3)
    for reader in readers.values():
        assert steps(reader.Scalars("score/guide")) == [0]
        assert steps(reader.Images("original_current_best")) == [0]


def test_only_the_first_generations_are_logged(log):
    module, readers = log(seeds=(0, 1), batch_size=3, max_generations=2)
    first = [g.id for g in module.kept[0].generations[:2]]
    assert sorted(readers) == sorted(first)


def test_a_second_run_replaces_the_first(log):
    log(num_updates=3)
    _, readers = log(num_updates=1)
    for reader in readers.values():
        assert steps(reader.Scalars("score/guide")) == [0, 1]


def test_a_picture_every_0_updates_is_refused():
    with pytest.raises(ValueError, match="every_n_updates of at least 1"):
        ImageLogger(every_n_updates=0)


def test_home_is_expanded_as_for_the_results(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ImageLogger("~/mine").folder == tmp_path / "mine" / "tensorboard"
