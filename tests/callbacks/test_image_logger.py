"""The TensorBoard log, read back with TensorBoard's own reader."""

import io

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from doodl.callbacks import EarlyStopping, ImageLogger
from doodl.guides import Symmetry

LATENTS = ("latent_norm", "autocorrelation", "kurtosis", "pair_gap")
STEP = ("grad_norm", "clipped_fraction")


@pytest.fixture
def log(fit, tmp_path):
    """Logs a fit; returns the module and each generation's reader."""

    def run(callbacks=(), every_n_updates=2, max_generations=64, **settings):
        logger = ImageLogger(str(tmp_path), every_n_updates, max_generations)
        module = fit(callbacks=[logger, *callbacks], **settings)
        readers = {}
        for folder in sorted((tmp_path / "tensorboard").iterdir()):
            readers[folder.name] = EventAccumulator(str(folder)).Reload()
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
    with pytest.raises(ValueError, match="every_n_updates must be at least 1"):
        ImageLogger(every_n_updates=0)
