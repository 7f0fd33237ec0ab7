"""Two jobs with different settings that start in one new folder at the same moment."""

import json
import multiprocessing
import sys
import time

import pytest
import yaml

from doodl import images
from doodl.generation import Generation
from doodl.jobs.archive import Archive
from processes import end, start

ROW = {"prompt": "a", "seed": 0, "status": "finished"}
"""A summary without its id."""

ROUNDS = 20


def work(folder, number, barrier, results):
    """Open the folder with settings of one's own, and make one generation."""
    archive, settings = Archive(folder), {"number": number}
    barrier.wait()
    try:
        archive.open(settings)
    except ValueError as error:
        results.put((number, str(error), None))
        return
    generation = Generation("a", number)
    digest = archive.digest().encode()
    time.sleep(0.01)
    row = ROW | {"id": generation.id}
    archive.save(generation, {"digest": digest}, row)
    results.put((number, None, digest))


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
def test_a_new_folder_takes_the_settings_of_one_job_only(tmp_path):
    context = multiprocessing.get_context("fork")
    for round_ in range(ROUNDS):
        folder, results = tmp_path / str(round_), context.Queue()
        barrier = context.Barrier(2)
        jobs = [
            context.Process(target=work, args=(folder, number, barrier, results))
            for number in range(2)
        ]
        for job in jobs:
            job.start()
        found = [results.get(timeout=60) for _ in jobs]
        for job in jobs:
            job.join(60)
        winners = [(number, digest) for number, error, digest in found if not error]
        assert len(winners) == 1, found
        (refusal,) = (error for _, error, _ in found if error)
        assert "made with other settings: number" in refusal
        settings = json.loads((folder / "settings.json").read_text())
        assert settings == {"number": winners[0][0]}
        (file,) = folder.glob("*/digest")
        assert file.read_bytes() == winners[0][1] == Archive(folder).digest().encode()


def test_a_job_that_made_nothing_leaves_the_folder_to_other_settings(tmp_path):
    first, second = Archive(tmp_path), Archive(tmp_path)
    first.open({"number": 0})
    with pytest.raises(ValueError, match="made with other settings: number"):
        second.open({"number": 1})
    first.close()
    second.close()
    second.open({"number": 1})
    assert json.loads((tmp_path / "settings.json").read_text()) == {"number": 1}
    second.close()


def test_results_without_settings_are_refused(tmp_path):
    archive, generation = Archive(tmp_path), Generation("a", 0)
    archive.open({"number": 0})
    archive.save(
        generation,
        {},
        ROW | {"id": generation.id},
    )
    archive.close()
    (tmp_path / "settings.json").unlink()
    for refuses in (Archive(tmp_path).check, Archive(tmp_path).open):
        with pytest.raises(ValueError, match="has results, but no settings.json"):
            refuses({"number": 0})


@pytest.mark.slow
def test_of_two_commands_one_ends_with_a_sentence(world, tmp_path):
    processes = []
    for number in (1, 2):
        model = {
            "pretrained": str(world / "pipeline"),
            "guide": {"class_path": "doodl.guides.Symmetry"},
            "num_steps": 2,
            "num_updates": number,
        }
        job = {"model": model, "data": {"prompts": ["a"], "seeds": [0]}}
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(job))
        command = [sys.executable, "-m", "doodl", "fit", "--config", f"{number}.yaml"]
        processes.append(start(command, cwd=tmp_path))
    found = [end(process, 600) for process in processes]
    codes = [code for code, _ in found]
    assert sorted(codes) == [0, 2], found
    assert "made with other settings: model.num_updates" in found[codes.index(2)][1]
    settings = json.loads((tmp_path / "results" / "settings.json").read_text())
    assert settings["model"]["num_updates"] == codes.index(0) + 1
    (picture,) = (tmp_path / "results").glob("*/best.png")
    assert images.load(picture).shape[0] == 3
