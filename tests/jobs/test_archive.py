"""Nothing is lost: what is there is kept, what was begun goes on, bit for bit."""

import json
import math
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from functools import partial

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import Timer

from doodl import latents as pairs
from doodl.callbacks import EarlyStopping, Multicrop, Results
from doodl.generation import Generation
from doodl.jobs.archive import Archive, differences
from doodl.jobs.records import image_digest
from doodl.optimizer import LatentSGD
from doodl.rendering import Renderer
from doodl.rules import (
    Average,
    Descend,
    LatentOptimizer,
    Momentum,
    Renormalize,
    Scale,
    Tie,
    Whiten,
)
from doodl.sampling.adjoints import StraightThroughAdjoint
from doodl.sampling.ddim import DDIM
from doodl.white_noise import whiteness

SETTINGS = {"num_updates": 5, "seeds": (3, 4), "batch_size": 2}
"""A run of two batches."""

ROW = {"prompt": "a", "seed": 0, "status": "finished"}
"""A summary without its id."""


class Stop(Callback):
    """Ends the process, as it were, before an update of a batch."""

    changes_images = False

    def __init__(self, epoch, update, error=KeyboardInterrupt):
        self.at, self.error = (epoch, update), error

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch) == self.at:
            raise self.error


class Kill(Stop):
    """Ends the process as `kill -9` does: nothing is written any more."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch) == self.at:
            (results,) = [c for c in trainer.callbacks if isinstance(c, Results)]
            self.folder = results.folder
            self.copy = self.folder.with_name("at the kill")
            shutil.copytree(self.folder, self.copy)
            raise self.error

    def restore(self):
        """Undo what was written after the kill."""
        shutil.rmtree(self.folder)
        self.copy.rename(self.folder)


def contents(folder):
    """Every file that must not depend on how often a run was interrupted."""
    timing = ("timing.json", "timings.csv")
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in timing]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture
def run(fit, tmp_path):
    def run(name="results", *callbacks, every=1, **settings):
        folder = tmp_path / name
        watch = [
            Multicrop(2, cutout_size=24),
            EarlyStopping(patience=settings.pop("patience", None)),
            Results(str(folder), save_every_n_updates=every),
        ]
        fit(callbacks=[*watch, *callbacks], **SETTINGS | settings)
        return folder

    return run


def interrupted(run, *callbacks, **settings):
    with pytest.raises((SystemExit, ValueError, KeyboardInterrupt)):
        run("results", *callbacks, **settings)
    for callback in callbacks:
        if isinstance(callback, Kill):
            callback.restore()


@pytest.mark.parametrize("stop", [Stop(0, 3), Stop(1, 1), Kill(0, 0), Kill(1, 4)])
def test_an_interrupted_run_ends_as_an_undisturbed_one(run, stop):
    whole = run("whole")
    interrupted(run, stop)
    assert contents(run()) == contents(whole)


@pytest.mark.parametrize("stop", [Stop(0, 1), Kill(0, 1), Kill(1, 3)])
def test_an_interrupted_run_with_a_rule_of_its_own_is_whole_again(run, stop):
    def rule(params):
        parts = [Tie(), Whiten(), Momentum(0.5), Scale(), Descend(), Average()]
        return LatentOptimizer(params, rule=[*parts, Renormalize()], lr=0.1)

    settings = {
        "method": DDIM(),
        "adjoint": StraightThroughAdjoint(),
        "optimizer": rule,
    }
    whole = run("whole", **settings)
    interrupted(run, stop, **settings)
    assert contents(run(**settings)) == contents(whole)


@pytest.mark.parametrize("stop", [Stop(0, 3), Kill(0, 3)])
def test_a_resumed_run_compares_latents_with_their_very_first(
    run, stop, monkeypatch, recwarn
):
    monkeypatch.setattr("doodl.white_noise.KEPT", 1.5)
    monkeypatch.setattr("doodl.white_noise.LEAST", 0)
    settings = {"optimizer": partial(LatentSGD, lr=1e9, clip=0.3)}
    interrupted(run, stop, **settings)
    recwarn.clear()
    run(**settings)
    (said,) = [str(w.message) for w in recwarn if "white noise" in str(w.message)]
    first = whiteness(pairs.draw([3], (4, 8, 8))[None]).item()
    assert f"was {first:.3f} before the updates" in said
    assert f"is {first:.3f}, below" not in said


def test_a_killed_run_loses_only_the_updates_since_the_last_save(run, counted):
    run("whole", every=2)
    calls = len(counted.grad)
    interrupted(run, Kill(1, 3), every=2)
    before = len(counted.grad)
    run(every=2)
    # Of the second batch, updates 2, 3 and 4 of 5.
    assert len(counted.grad) - before == calls // 2 * 3 // 5


def test_an_interruption_saves_what_no_update_had_saved(run, counted):
    run("whole", every=100)
    calls = len(counted.grad)
    interrupted(run, Stop(1, 3), every=100)
    before = len(counted.grad)
    run(every=100)
    # Of the second batch, updates 3 and 4 of 5.
    assert len(counted.grad) - before == calls // 2 * 2 // 5


class TimeIsUp(Callback):
    """Stops the trainer as its `max_time` does, after an update of a batch."""

    changes_images = False

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = (trainer.current_epoch, batch) == (1, 2)


def test_a_time_limit_leaves_the_rest_for_the_same_command(run, tmp_path, capsys):
    whole = run("whole")
    folder = run("results", TimeIsUp(), Timer(timedelta(hours=1)))
    assert len(list(folder.glob("*/summary.json"))) == 2
    assert "2 not finished yet" in capsys.readouterr().out
    (path,) = (folder / ".state").iterdir()
    assert not any("Timer" in key for key in torch.load(path)["callbacks"])
    assert contents(run()) == contents(whole)


class Break(Callback):
    """Fails between two batches."""

    changes_images = False

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise ValueError("broken")


def test_a_finished_batch_is_not_kept_as_begun(run, tmp_path):
    interrupted(run, Break())
    assert len(list((tmp_path / "results").glob("*/summary.json"))) == 2
    assert not list((tmp_path / "results" / ".state").glob("*.pt"))


def test_a_state_of_a_device_that_is_gone_is_read(tmp_path):
    written = """
import torch
from doodl.jobs.archive import Archive
from doodl.generation import Generation
torch.serialization.register_package(0, lambda storage: "cuda:3", lambda s, l: None)
Archive("results").save_state([Generation("a", 0)], {"latents": torch.ones(2)})
"""
    (tmp_path / "results").mkdir()
    subprocess.run([sys.executable, "-c", written], cwd=tmp_path, check=True)
    state = Archive(tmp_path / "results").load_state([Generation("a", 0)])
    assert state["latents"].tolist() == [1, 1]


def test_a_pipe_among_the_states_is_left_alone(tmp_path):
    archive = Archive(tmp_path)
    (tmp_path / ".state").mkdir()
    os.mkfifo(tmp_path / ".state" / "a.pt")
    archive.drop_outdated_states()
    assert (tmp_path / ".state" / "a.pt").is_fifo()


def test_nothing_is_written_through_a_link(tmp_path):
    archive, generation = Archive(tmp_path / "results"), Generation("a", 0)
    archive.open({})
    (tmp_path / "other").mkdir()
    (archive.folder / generation.id).symlink_to(tmp_path / "other")
    archive.save(generation, {"best.png": b"x"}, ROW | {"id": generation.id})
    assert not list((tmp_path / "other").iterdir())
    assert (archive.folder / generation.id / "best.png").read_bytes() == b"x"


def test_settings_that_are_no_number_are_the_same_again():
    same = {"a": {"lr": math.nan}}
    assert differences(same, json.loads(json.dumps(same))) == []
    assert differences(same, {"a": {"lr": 1.0}}) == ["a.lr was nan, is 1.0"]


def test_settings_bind_a_folder_from_its_first_result_on(tmp_path):
    archive, generation = Archive(tmp_path), Generation("a", 0)
    archive.open({"height": 100})
    archive.open({"height": 64})
    archive.save(
        generation,
        {},
        ROW | {"id": generation.id},
    )
    with pytest.raises(ValueError, match="height was 64, is 100"):
        archive.open({"height": 100})


def test_broken_files_of_a_folder_are_named_or_made_again(tmp_path):
    archive, generation = Archive(tmp_path), Generation("a", 0)
    archive.open({"height": 64})
    archive.save(
        generation,
        {},
        ROW | {"id": generation.id},
    )
    assert archive.remaining([generation]) == []
    (tmp_path / generation.id / "summary.json").write_text("{")
    assert archive.remaining([generation]) == [generation]
    (tmp_path / "settings.json").write_text("")
    with pytest.raises(
        ValueError, match=r"Could not read the settings.*settings\.json"
    ):
        archive.check({"height": 64})


def test_what_stands_in_the_place_of_a_generations_files_is_replaced(tmp_path):
    archive, generation = Archive(tmp_path), Generation("a", 0)
    archive.open({})
    row = ROW | {"id": generation.id}
    (tmp_path / generation.id).write_text("a file")
    archive.save(generation, {"best.png": b"x"}, row)
    for name in ("best.png", "summary.json"):
        (tmp_path / generation.id / name).unlink()
        (tmp_path / generation.id / name / "inner").mkdir(parents=True)
    assert archive.remaining([generation]) == [generation]
    archive.save(generation, {"best.png": b"x"}, row)
    assert (tmp_path / generation.id / "best.png").read_bytes() == b"x"
    assert (tmp_path / generation.id / "summary.json").is_file()


def test_a_picture_that_has_changed_is_made_from_anew(tmp_path):
    picture = tmp_path / "mine.png"
    picture.write_bytes(b"first")
    generation = Generation("a", 0, image=str(picture))
    archive = Archive(tmp_path / "results")
    archive.open({})
    row = ROW | {"id": generation.id}
    archive.save(generation, {}, row | {"image_digest": image_digest(generation)})
    assert archive.remaining([generation]) == []
    picture.write_bytes(b"second")
    assert archive.remaining([generation]) == [generation]


def test_an_early_stop_counts_the_updates_before_the_interruption(run):
    whole = run("whole", patience=2)
    interrupted(run, Kill(0, 2), patience=2)
    assert contents(run(patience=2)) == contents(whole)


def test_a_run_killed_while_it_writes_ends_as_an_undisturbed_one(run, monkeypatch):
    whole = run("whole")
    save, count = Archive.save, []

    def once(self, generation, files, row):
        count.append(generation)
        if len(count) == 2:
            raise KeyboardInterrupt
        save(self, generation, files, row)

    monkeypatch.setattr(Archive, "save", once)
    interrupted(run)
    monkeypatch.setattr(Archive, "save", save)
    assert contents(run()) == contents(whole)


def test_a_full_disk_stops_the_run_and_keeps_what_is_there(run, monkeypatch):
    whole = run("whole")

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "save_state", full)
        with pytest.raises(OSError, match="No space left"):
            run()
    assert contents(run()) == contents(whole)


def test_a_state_that_cannot_be_read_begins_again(run, tmp_path):
    whole = run("whole")
    interrupted(run, Stop(0, 3))
    (state,) = (tmp_path / "results" / ".state").iterdir()
    state.write_bytes(b"\x80\x00")
    with pytest.warns(UserWarning, match="Could not read the state"):
        folder = run()
    assert contents(folder) == contents(whole)


def test_other_batches_make_the_missing_ones_too(run, tmp_path):
    interrupted(run, Stop(1, 0))
    rows = run(batch_size=3, seeds=(3, 4, 5)).glob("*/summary.json")
    assert {json.loads(p.read_text())["seed"] for p in rows} == {3, 4, 5}


@pytest.mark.parametrize("stage", ["fit", "predict"])
def test_a_failed_generation_is_tried_again(stage, run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "doodl.pretrained.TextToImage.decode",
            lambda *args: (_ for _ in ()).throw(torch.OutOfMemoryError("of 2 GiB")),
        )
        folder = run(stage=stage)
    rows = [json.loads(p.read_text()) for p in folder.glob("*/summary.json")]
    assert {row["status"] for row in rows} == {"failed"}
    reason = "out of memory; try data.batch_size 1, and --dry-run"
    assert all(row["reason"].startswith(reason) for row in rows)
    run(stage=stage, batch_size=1)
    rows = [json.loads(p.read_text()) for p in folder.glob("*/summary.json")]
    assert {row["status"] for row in rows} <= {"finished", "sampled"}


def test_memory_that_runs_out_in_backward_fails_the_batch_alone(run, monkeypatch):
    from lightning import LightningModule

    backward, calls = LightningModule.backward, []

    def once(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        backward(self, *args, **kwargs)

    monkeypatch.setattr(LightningModule, "backward", once)
    folder = run()
    rows = [json.loads(p.read_text()) for p in folder.glob("*/summary.json")]
    assert sorted(row["status"] for row in rows) == ["failed"] * 2 + ["finished"] * 2


@pytest.mark.parametrize("stage", ["fit", "predict"])
def test_memory_that_runs_out_at_the_start_fails_the_batch_alone(
    stage, run, monkeypatch
):
    prepare, calls = Renderer.prepare, []

    def once(self, generations):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return prepare(self, generations)

    monkeypatch.setattr(Renderer, "prepare", once)
    folder = run(stage=stage)
    rows = [json.loads(p.read_text()) for p in folder.glob("*/summary.json")]
    made = "finished" if stage == "fit" else "sampled"
    assert sorted(row["status"] for row in rows) == ["failed"] * 2 + [made] * 2


def test_a_state_of_another_batch_size_goes_once_the_job_is_finished(run):
    interrupted(run, Stop(0, 1))
    folder = run(batch_size=1)
    assert not list(folder.glob(".state/*.pt"))
    interrupted(run, Stop(0, 1), seeds=(7, 8))
    (state,) = folder.glob(".state/*.pt")
    run(batch_size=1)
    assert state.is_file(), "it is another job's"
    run(seeds=(7, 8))
    assert not list(folder.glob(".state/*.pt"))


def test_another_error_is_not_taken_for_a_lack_of_memory(run, monkeypatch):
    def broken(*args):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("doodl.pretrained.TextToImage.decode", broken)
    with pytest.raises(RuntimeError, match="do not match"):
        run()


def test_differences_name_every_key_that_differs():
    there = {"a": 1, "b": {"c": [1], "d": 2}}
    assert differences(there, {"a": 1, "b": {"c": [1], "d": 2}}) == []
    assert differences(there, {"a": 1, "b": {"c": [2]}}) == [
        "b.c was [1], is [2]",
        "b.d was 2, is None",
    ]


def test_a_setting_that_only_another_version_has_differs_unless_it_is_null():
    assert differences({"model": {"former": None}}, {"model": {}}) == []
    found = differences({"model": {"former": {"number": 8}}}, {"model": {}})
    assert found == ["model.former was {'number': 8}, is None"]


def test_settings_are_compared_as_json_stores_them(tmp_path):
    archive, generation = Archive(tmp_path), Generation("a", 0)
    archive.open({"sizes": (1, 2)})  # which JSON reads back as a list
    archive.save(
        generation,
        {},
        ROW | {"id": generation.id},
    )
    archive.open({"sizes": (1, 2)})
    with pytest.raises(ValueError, match=r"sizes was \[1, 2\], is \[1, 3\]"):
        archive.open({"sizes": (1, 3)})
