"""The animation shows every update that was looked at, also after an interruption."""

import numpy as np
import pytest
import torch
from lightning import Callback
from PIL import Image

from doodl.callbacks import Animation, EarlyStopping, Results
from doodl.callbacks.animation import animate


@pytest.fixture
def run(fit, tmp_path):
    def run(name="results", *callbacks, **settings):
        folder = tmp_path / name
        watch = [Animation(), Results(str(folder), save_every_n_updates=1)]
        module = fit(callbacks=[*callbacks, *watch], **{"num_updates": 3} | settings)
        return module, sorted(folder.glob("*/trajectory.png"))

    return run


def test_it_has_a_frame_for_every_update(run):
    module, paths = run()
    assert len(paths) == 2
    for path in paths:
        with Image.open(path) as picture:
            assert (picture.n_frames, picture.size) == (4, (32, 32))


def test_it_ends_with_its_generation(run):
    _, paths = run("results", EarlyStopping(target=-99.0))
    for path in paths:
        with Image.open(path) as picture:
            assert getattr(picture, "n_frames", 1) == 1


def test_an_interrupted_one_is_that_of_an_undisturbed_run(run):
    class Stop(Callback):
        changes_images = False

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch == 2:
                raise KeyboardInterrupt

    _, whole = run("whole")
    with pytest.raises(SystemExit):
        run("results", Stop())
    _, paths = run()
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in whole]


@pytest.mark.parametrize("values", [(0, 9, 200), (9, 9, 9, 0, 0, 200, 200), (5, 5)])
def test_frames_are_the_pictures_in_order(tmp_path, values, generator):
    noise = torch.randint(0, 9, (3, 4, 4), dtype=torch.uint8, generator=generator)
    frames = [noise + value for value in values]
    (tmp_path / "a.png").write_bytes(animate(frames, 50))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.n_frames == len(frames)
        for k, frame in enumerate(frames):
            picture.seek(k)
            shown = torch.from_numpy(np.array(picture.convert("RGB")))
            assert picture.info["duration"] == 50
            assert torch.equal(shown.permute(2, 0, 1), frame)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="milliseconds from 1 to 60000, received 0"):
        Animation(0)


def test_it_needs_results(fit):
    with pytest.raises(ValueError, match="Expected the callback Results"):
        fit(callbacks=[Animation()])
