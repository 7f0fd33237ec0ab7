"""The tables: complete at the end of a job, and cheap while it runs."""

import csv
import json
import os

import pytest
import torch

from doodl import images
from doodl.generation import Generation
from doodl.jobs import tables
from doodl.jobs.archive import Archive
from doodl.spreadsheets import neutral, original

LOOK = 0.0001
"""Seconds that a look at a file takes on the clock of these tests."""


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `LOOK` and the tests move; counts looks at files."""

    class Clock:
        now, looks = 0.0, 0

        def monotonic(self):
            return self.now

    clock = Clock()
    stat = os.stat

    def look(path, **options):
        clock.now, clock.looks = clock.now + LOOK, clock.looks + 1
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", look)
    monkeypatch.setattr(tables, "time", clock)
    return clock


def save(archive, number, status="finished"):
    generation = Generation(f"prompt {number}", 0)
    row = {
        "id": generation.id,
        "prompt": generation.prompt,
        "seed": 0,
        "status": status,
    }
    archive.save(generation, {"timing.json": b'{"seconds": 1}'}, row)
    return generation.id


def statuses(folder):
    with (folder / "manifest.csv").open() as file:
        return {row["id"]: row["status"] for row in csv.DictReader(file)}


def written_by(folder, number, count):
    """What `count` processes leave, which share generations and write in turn."""
    folder.mkdir()
    archives = [Archive(folder) for _ in range(count)]
    for i in range(number):
        save(archives[i % count], i)
        archives[i % count].tables.refresh()
    for archive in archives:
        archive.tables.write()
    names = ("manifest.csv", "timings.csv")
    return [(folder / name).read_bytes() for name in names]


@pytest.mark.parametrize("processes", [1, 4])
def test_the_tables_cost_less_than_a_hundredth_of_a_job(tmp_path, clock, processes):
    archives = [Archive(tmp_path) for _ in range(processes)]
    spent = [0] * processes
    for i in range(200):
        save(archives[i % processes], i)
        clock.now += 1.0 / processes
        clock.looks = 0
        archives[i % processes].tables.refresh()
        spent[i % processes] += clock.looks
    share = max(spent) * LOOK / (200 / processes)
    assert 0 < share < 0.01, f"{share:.1%}"


def test_a_refresh_after_a_long_pause_writes_every_row(tmp_path, clock):
    archive = Archive(tmp_path)
    names = [save(archive, 0)]
    archive.tables.refresh()
    names.append(save(archive, 1))
    archive.tables.refresh()
    assert sorted(statuses(tmp_path)) == sorted(names[:1])
    clock.now += 1000.0
    archive.tables.refresh()
    assert sorted(statuses(tmp_path)) == sorted(names)


def test_a_process_count_does_not_change_the_tables(tmp_path):
    alone = written_by(tmp_path / "one", 7, 1)
    assert written_by(tmp_path / "three", 7, 3) == alone


def test_the_next_process_lists_what_a_killed_one_did_not(tmp_path):
    killed = Archive(tmp_path)
    names = [save(killed, 0)]
    killed.tables.refresh()
    names.append(save(killed, 1))  # the process ends here
    Archive(tmp_path).tables.write()
    assert sorted(statuses(tmp_path)) == sorted(names)


@pytest.mark.parametrize("other", [1, 0])
def test_a_table_has_what_others_save_while_it_is_written(tmp_path, monkeypatch, other):
    archive, write = Archive(tmp_path), tables.write
    first, waiting = save(archive, 0, "failed"), [other]

    def slowly(path, content):
        while waiting:  # another process saves one before this table is there
            second = save(Archive(tmp_path), waiting.pop())
            Archive(tmp_path).tables.write()
            names.add(second)
        write(path, content)

    names = {first}
    monkeypatch.setattr(tables, "write", slowly)
    archive.tables.write()
    found = statuses(tmp_path)
    assert set(found) == names
    assert found[Generation(f"prompt {other}", 0).id] == "finished"


def test_a_file_is_parsed_once_until_it_changes(tmp_path, monkeypatch):
    archive, parse, parsed = Archive(tmp_path), json.loads, []
    for i in range(3):
        save(archive, i)
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or parse(text))
    archive.tables.write()
    archive.tables.write()
    assert len(parsed) == 6  # a summary and a timing each
    save(archive, 0, "stopped")
    archive.tables.write()
    assert len(parsed) == 8


def test_without_generations_there_are_no_tables(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        Archive(folder).tables.write()
    assert not list(tmp_path.iterdir())


BEGIN = b'{"id": "%b", "prompt": "a", "seed": 0, "status": "finished", '
DAMAGES = {
    "summary missing": ("summary.json", None),
    "summary empty": ("summary.json", b""),
    "summary of another type": ("summary.json", b"[1]"),
    "summary without a prompt": (
        "summary.json",
        b'{"id": "%b", "status": "finished"}',
    ),
    "summary without a seed": (
        "summary.json",
        b'{"id": "%b", "prompt": "a", "status": "finished"}',
    ),
    **{
        f"summary with {value.decode()}": (
            "summary.json",
            b'{"id": "%b", "prompt": "a", "seed": 0, "status": "finished", '
            + value
            + b"}",
        )
        for value in (
            b'"guide_best": 1' + b"0" * 400,
            b'"guide_best": true',
            b'"guide_best": "x"',
            b'"files": 5',
            b'"files": ["' + b"x" * 300 + b'"]',
        )
    },
    "summary with half a character": (
        "summary.json",
        b'{"id": "%b", "prompt": "\\ud800", "seed": 0, "status": "finished"}',
    ),
    "picture cut off": ("best.png", images.encode(torch.zeros(3, 4, 4))[:60]),
    "summary with another seed": ("summary.json", b'{"id": "%b", "seed": "x"}'),
    "summary of another generation": (
        "summary.json",
        b'{"id": "x", "status": "finished"}',
    ),
    "picture missing": ("best.png", None),
    "picture empty": ("best.png", b""),
    "picture of another type": ("best.png", b"GIF89a of another type"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_generation_is_made_again(tmp_path, damage):
    archive = Archive(tmp_path)
    generations = [Generation("a", 0), Generation("b", 0)]
    png = images.encode(torch.zeros(3, 4, 4))
    for generation in generations:
        row = {"id": generation.id, "prompt": "a", "status": "finished", "seed": 0}
        archive.save(generation, {"best.png": png}, row)
    assert archive.remaining(generations) == []
    name, content = DAMAGES[damage]
    path = tmp_path / generations[0].id / name
    path.unlink()
    if content is not None:
        path.write_bytes(content.replace(b"%b", generations[0].id.encode()))
    assert Archive(tmp_path).remaining(generations) == generations[:1]


def test_a_link_to_itself_is_left_out(tmp_path):
    archive = Archive(tmp_path)
    name = save(archive, 0)
    (tmp_path / "loop").symlink_to("loop")
    archive.tables.write()
    assert list(statuses(tmp_path)) == [name]


def test_a_summary_without_scores_has_none(tmp_path):
    archive = Archive(tmp_path)
    row = archive.tables.row(save(archive, 0))
    assert (row["guide_first"], row["verdict_best"]) == (None, None)


def test_a_picture_that_is_a_folder_is_made_again(tmp_path):
    archive, generation = Archive(tmp_path), Generation("a", 0)
    row = {"id": generation.id, "prompt": "a", "seed": 0, "status": "finished"}
    archive.save(generation, {"best.png": images.encode(torch.zeros(3, 4, 4))}, row)
    path = tmp_path / generation.id / "best.png"
    path.unlink()
    path.mkdir()
    assert archive.remaining([generation]) == [generation]
    archive.save(generation, {"best.png": images.encode(torch.zeros(3, 4, 4))}, row)
    assert archive.remaining([generation]) == []


def test_a_manifest_that_disagrees_with_the_summaries_is_rebuilt(tmp_path):
    archive = Archive(tmp_path)
    names = [save(archive, i) for i in range(3)]
    (tmp_path / "manifest.csv").write_text("id,status\nforeign,finished\n")
    Archive(tmp_path).tables.write()
    assert statuses(tmp_path) == dict.fromkeys(names, "finished")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "'=", "'", "a", "\ta", ""])
def test_a_cell_is_no_formula_and_is_read_back(text):
    cell = neutral(text)
    assert not cell.startswith(tuple("=+-@\t\r"))
    assert original(cell) == text
    assert neutral(1.5) == 1.5
