"""The tables: what was tuned on is in none of them, and each runs in a reduced form."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REDUCED = ["--prompts", "2", "--seeds", "2", "--updates", "1", "--draws", "2"]
TINY = ["--model.num_steps", "2", "--multicrop.num_cutouts", "2"]


@pytest.fixture(autouse=True)
def _found(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


@pytest.mark.parametrize("application", ["clip_text", "classifier", "aesthetic"])
def test_no_row_is_for_tuning_and_for_a_table(application, tmp_path):
    import splits

    tuning = splits.rows(application, "tuning", 12, tmp_path)
    table = splits.rows(application, "table", 48, tmp_path)
    assert (len(tuning), len(table)) == (12, 48)
    names = set(map(splits.identity, table))
    assert len(names) == 48
    assert not names & set(map(splits.identity, tuning))
    swept = splits.drawn(application, splits.SWEEP, 4, tmp_path / "s")
    assert not names & set(map(splits.identity, swept))
    assert not {row["prompt"] for row in table} & splits.demonstrated()


def test_no_seed_is_for_tuning_and_for_a_table():
    import splits
    import tables

    seeds = max(table.prompts[1] for table in tables.TABLES.values())
    assert seeds <= splits.FIRST_SEED["tuning"] < tables.DRAWS
    assert (splits.seeds("tuning", 2), splits.seeds("table", 4)) == ("1000-1001", "0-3")


def test_regimes_are_those_of_the_hit_rate():
    import tables

    found = [tables.regime(rate) for rate in (0.2, 0.05, 0.005, 0.0)]
    assert [name.removeprefix("hit rate ") for name in found] == [
        *("above 5%", "0.5 to 5%", "0.5 to 5%", "below 0.5%")
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "same"),
        ({"first_colour": "red"}, "similar"),
        ({"first_colour": "red", "first_pattern": "plain"}, "other thing"),
        ({"first_kind": "moon"}, "other thing"),
        ({"background": "black"}, "context wrong"),
    ],
)
def test_the_four_answers_of_the_paper(changes, expected):
    from answers import answer

    thing = {"first_kind": "star", "first_pattern": "dotted", "first_colour": "pink"}
    seen = {**thing, "background": "white", **changes}
    assert answer(seen, thing, {"white"}) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["text", "vocabulary", "personalization", "aesthetics", "ablations"]
)
def test_a_reduced_table_is_made_and_made_again(name, shapes, tmp_path, monkeypatch):
    import tables

    monkeypatch.chdir(tmp_path)
    only = ["--only", "DOODL", "no_noise"] if name == "ablations" else []
    tables.main([name, *REDUCED, *only, *TINY])
    (path,) = tmp_path.glob("results/tables/*/table/table.md")
    first = path.read_text()
    assert "## Methods" in first
    assert "The paper: " in first
    tables.main([name, *REDUCED, *only, *TINY])  # nothing is left to be made
    assert path.read_text() == first


@pytest.mark.slow
def test_a_pilot_says_how_many_prompts_are_needed(
    shapes, tmp_path, monkeypatch, capsys
):
    import tables

    monkeypatch.chdir(tmp_path)
    tables.main(["text", "--pilot", *REDUCED[:-1], "0", *TINY])
    assert "prompts of 2 seeds give +- 6 points" in capsys.readouterr().out
