"""The Trainer's loggers: any of Lightning's, on every rank."""

import csv
import json
import sys

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from doodl.callbacks import ImageLogger
from doodl.callbacks.runs import LoggerRuns
from processes import end, start


class Plain(Logger):
    """A user's logger that knows scalars only."""

    name, version = "plain", 0

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *args, **kwargs):
        pass


class WithPictures(Plain):
    """One with the method that the logger of Weights & Biases has."""

    def log_image(self, key, images, step=None):
        self.rows.append((step, {key: images[0].size}))


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def curve(table, column):
    found = [r for r in table if r.get(column)]
    return {int(r["step"]): float(r[column]) for r in found}


@pytest.fixture
def logged(fit, tmp_path):
    """Fits with loggers; returns the module."""

    def run(*loggers, **settings):
        callback = ImageLogger(str(tmp_path), every_n_updates=1)
        trainer = {"logger": list(loggers) or False}
        return fit(callbacks=[callback], trainer=trainer, **settings)

    return run


def test_a_csv_logger_has_every_generations_curve_and_the_totals(logged, tmp_path):
    module = logged(CSVLogger(tmp_path, name="csv"), num_updates=2)
    table = rows(tmp_path / "csv" / "version_0" / "metrics.csv")
    for i, generation in enumerate(module.kept[0].generations):
        scores = [r.guide[i].item() for r in module.renderings]
        found = curve(table, f"{generation.id}/score/guide")
        assert found == pytest.approx(dict(enumerate(scores)), rel=1e-5)
        assert set(curve(table, f"{generation.id}/loss")) == {0, 1}
    best = [shot.guide for shot in module.kept[0].best]
    total = curve(table, "totals-0/total/guide_best")
    assert total == pytest.approx({2: sum(best) / 2}, rel=1e-5)


def test_a_tensorboard_logger_has_the_curves_and_the_pictures(logged, tmp_path):
    module = logged(TensorBoardLogger(tmp_path, name="tb"), num_updates=2)
    reader = EventAccumulator(str(tmp_path / "tb" / "version_0")).Reload()
    for generation in module.kept[0].generations:
        scores = reader.Scalars(f"{generation.id}/score/guide")
        assert [event.step for event in scores] == [0, 1, 2]
        pictures = reader.Images(f"{generation.id}/original_current_best")
        assert [(p.step, p.width, p.height) for p in pictures] == [
            (k, 96, 32) for k in range(3)
        ]


def test_without_a_logger_tensorboards_own_log_is_written(logged, tmp_path):
    module = logged()
    ids = {g.id for g in module.kept[0].generations}
    assert {p.name for p in (tmp_path / "tensorboard").iterdir()} == {*ids, "totals-0"}


def test_a_logger_without_pictures_loses_no_scalar(logged):
    plain, other = Plain(), WithPictures()
    module = logged(plain, other, num_updates=1)
    pictures = [row for row in other.rows if "original_current_best" in str(row)]
    assert [size for _, row in pictures for size in row.values()] == [(96, 32)] * 4
    assert plain.rows == [row for row in other.rows if row not in pictures]
    for generation in module.kept[0].generations:
        name = f"{generation.id}/score/guide"
        assert [step for step, row in plain.rows if name in row] == [0, 1]


def test_what_is_logged_does_not_change_the_results(logged, tmp_path):
    without = logged().renderings
    for one, other in zip(without, logged(Plain()).renderings, strict=True):
        assert torch.equal(one.pixels, other.pixels)


def test_a_later_rank_logs_to_a_folder_of_its_own(tmp_path, monkeypatch):
    for rank in (0, 1, 2):
        monkeypatch.setattr(rank_zero_only, "rank", rank)
        log = LoggerRuns(CSVLogger(tmp_path, name="csv", version=5), rank)
        log.scalars({"fox": {"loss": float(rank)}}, 0)
        log.end(["fox"])
        assert rank_zero_only.rank == rank
    for rank, place in enumerate(("", "rank-1", "rank-2")):
        table = rows(tmp_path / "csv" / place / "version_5" / "metrics.csv")
        assert curve(table, "fox/loss") == {0: float(rank)}


def test_two_processes_lose_no_curve(world, tmp_path):
    settings = {
        "--model.pretrained": world / "pipeline",
        "--model.guide": "doodl.guides.Symmetry",
        "--model.judge": "null",
        "--model.verdict": "null",
        "--model.num_steps": 3,
        "--model.num_updates": 3,
        "--model.mixing": 0.8,
        "--data.prompts": '["a red circle", "a blue star"]',
        "--data.seeds": "0-5",
        "--data.batch_size": 1,
        "--trainer.accelerator": "cpu",
        "--trainer.devices": 2,
        "--trainer.logger": "lightning.pytorch.loggers.CSVLogger",
    }
    command = [sys.executable, "-W", "ignore", "-m", "doodl", "fit"]
    command += [part for pair in settings.items() for part in pair]
    code, output = end(start(command, cwd=tmp_path))
    assert code == 0, output
    results = tmp_path / "results"
    assert (results / "config.yaml").is_file()
    tables = [rows(path) for path in results.glob("lightning_logs/**/metrics.csv")]
    folders = [json.loads(p.read_text()) for p in results.glob("*/summary.json")]
    assert len(folders) == 12
    for row in folders:
        name = f"{row['id']}/score/guide"
        (found,) = (c for table in tables if (c := curve(table, name)))
        assert set(found) == {0, 1, 2, 3}
        assert found[0] == pytest.approx(row["guide_first"], rel=1e-5)
