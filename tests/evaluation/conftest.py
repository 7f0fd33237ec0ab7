"""Finished results that nobody made: the files of jobs, with invented scores."""

import csv
import json

import pytest
import torch
from safetensors.torch import save_file

from doodl.callbacks.animation import animate
from doodl.generation import Generation
from doodl.images import save
from doodl.jobs.tables import COLUMNS

SETTINGS = {
    "command": "fit",
    "model": {
        "pretrained": "invented",
        "judge": {"class_path": "doodl.guides.Symmetry", "init_args": {}},
        "guide": {"class_path": "doodl.guides.Symmetry", "init_args": {}},
        "num_steps": 4,
        "num_updates": 3,
    },
}


def one_step(strength=1.0):
    """Settings of one-step guidance."""
    baseline = {
        "class_path": "doodl.baselines.OneStep",
        "init_args": {"strength": strength},
    }
    return {"command": "predict", "model": SETTINGS["model"] | {"baseline": baseline}}


def picture(seed, side=8):
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def results(tmp_path):
    """Writes a folder of results; returns its path.

    `gains` are the judge's, one a generation in the order prompts x seeds, repeated.
    """

    def write(
        name="doodl",
        prompts=("a red circle", "a blue star"),
        seeds=(0, 1),
        *,
        gains=(0.1,),
        settings=SETTINGS,
        side=8,
        pictures=True,
        films=(),
        **extra,
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps(settings))
        rows = []
        for number, (prompt, seed) in enumerate((p, s) for p in prompts for s in seeds):
            generation = Generation(prompt, seed)
            place = folder / generation.id
            place.mkdir()
            gain = gains[number % len(gains)]
            row = dict.fromkeys(COLUMNS) | {
                "id": generation.id,
                "prompt": prompt,
                "seed": seed,
                "status": "finished",
                "updates": 3,
                "guide_first": 0.2,
                "guide_best": 0.2 + 2 * gain,
                "judge_first": 0.5,
                "judge_best": 0.5 + gain,
                "verdict_first": False,
                "verdict_best": gain > 0,
                "selector": "guide",
                "folder": generation.id,
                "calls": 32,
                "gradient_calls": 24,
            }
            row |= extra
            rows.append(row)
            if pictures:
                save(picture(seed, side), place / "original.png")
                save(picture(seed + 100, side), place / "best.png")
            if films:
                content = animate(list(films), 100)
                (place / "trajectory.png").write_bytes(content)
            lines = [
                {
                    "update": u,
                    "guide": 0.2 + u * gain,
                    "judge": 0.5 + u * gain / 3,
                    "calls": 8 * (u + 1),
                    "gradient_calls": 8 * u,
                }
                for u in range(4)
            ]
            (place / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
            noise = torch.Generator().manual_seed(seed)
            latents = torch.randn(2, 4, 16, 16, generator=noise)
            save_file({"best": latents}, place / "latents.safetensors")
            (place / "timing.json").write_text('{"seconds": 2.0}')
            (place / "summary.json").write_text(json.dumps(row))
        with (folder / "manifest.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({k: row[k] for k in COLUMNS} for row in rows)
        return folder

    write.one_step, write.settings = one_step(), SETTINGS
    return write


@pytest.fixture
def run(capsys):
    """Runs `doodl test` or `doodl report`; returns what it prints."""
    from doodl.cli import main

    def call(*arguments):
        main([str(argument) for argument in arguments])
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(capsys):
    """The sentence that a command ends with."""
    from doodl.cli import main

    def call(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert exit_.value.code == 2
        assert (out, err[:7], err.count("\n")) == ("", "doodl: ", 1)
        return err[7:-1]

    return call


@pytest.fixture
def page(browser, results, run, tmp_path):
    """Opens the report of two methods; checks its log when the test has ended."""

    def open_(prompts=("a red circle", "a blue star"), **settings):
        first = results("doodl", prompts, gains=(0.3, -0.2, 0.1, 0.0), **settings)
        second = results("one_step", prompts, settings=results.one_step, **settings)
        run("report", first, second, "--output", tmp_path / "report")
        browser.get_log("browser"), browser.get_log("performance")
        browser.get((tmp_path / "report" / "index.html").as_uri())
        return browser

    yield open_
    assert browser.get_log("browser") == []
    asked = [
        json.loads(line["message"])["message"]
        for line in browser.get_log("performance")
    ]
    # A browser that has just begun also asks for pages of its own.
    urls = [
        message["params"]["request"]["url"]
        for message in asked
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["documentURL"].startswith(tmp_path.as_uri())
    ]
    assert urls
    assert [u for u in urls if not u.startswith(("file://", "data:"))] == []
