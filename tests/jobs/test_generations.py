"""The sequence of a job's generations, and what it costs to plan a large job."""

import subprocess
import sys

import pytest

from doodl.generation import Generation
from doodl.jobs.generations import Batches, Generations, count_remaining
from doodl.jobs.prompts import Row

ROWS = [Row("a"), Row("b", seed=7), Row("c", negative_prompt="d"), Row("e")]
EXPECTED = [
    *(Generation("a", seed, "n") for seed in (3, 4)),
    Generation("b", 7, "n"),
    *(Generation("c", seed, "d") for seed in (3, 4)),
    *(Generation("e", seed, "n") for seed in (3, 4)),
]


@pytest.fixture
def generations():
    return Generations(ROWS, [3, 4], "n")


def test_it_is_every_row_with_every_seed_or_its_own(generations):
    assert list(generations) == EXPECTED
    assert len(generations) == len(EXPECTED)
    assert generations[2:6:2] == EXPECTED[2:6:2]
    assert generations[-1] == EXPECTED[-1]
    with pytest.raises(IndexError):
        generations[7]


def test_the_first_of_each_row_has_all_that_rows_differ_in(generations):
    assert list(generations.one_per_row()) == [EXPECTED[i] for i in (0, 2, 3, 5)]


def test_positions_are_found_in_any_order(generations):
    for index in (0, 3, 6, 2):
        assert generations.position(EXPECTED[index]) == index
    with pytest.raises(ValueError, match="a generation of this job, received"):
        generations.position(Generation("z", 0))


def test_batches_cut_the_sequence(generations):
    batches = Batches(generations, 3)
    assert list(batches) == [EXPECTED[:3], EXPECTED[3:6], EXPECTED[6:]]
    assert len(batches) == 3


def test_equal_rows_are_refused():
    with pytest.raises(ValueError, match="different generations, received 'a-s0-"):
        Generations([Row("a"), Row("b"), Row("a")], [0])


def test_what_remains_of_a_large_job_is_extrapolated():
    rows = [Row(str(number)) for number in range(20_000)]
    batches = Batches(Generations(rows, [0, 1]), 4)
    found = count_remaining(
        batches, lambda batch: batch if batch[0].seed else batch[:2]
    )
    assert (found.generations, found.batches, found.largest) == (20_000, 10_000, 2)


PLAN = """
import sys, time, resource
from doodl.jobs.data import PromptsAndSeeds
from doodl.jobs.generations import count_remaining
start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = PromptsAndSeeds(sys.argv[1], seeds="0-9")
list(data.generations.one_per_row())
assert count_remaining(data.batches(), list).generations == 3_000_000
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(time.process_time() - start, (after - before) / 2**20)
"""


@pytest.mark.slow
def test_three_million_generations_are_planned_in_10_seconds_and_1_gigabyte(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"a red ring number {i}\n" for i in range(300_000)))
    done = subprocess.run(
        [sys.executable, "-c", PLAN, path], capture_output=True, text=True, check=True
    )
    seconds, gigabytes = map(float, done.stdout.split())
    assert seconds < 10
    assert gigabytes < 1
