"""The table at the end of a job."""

from io import StringIO
from typing import Any

from rich.console import Console

from doodl.jobs.report import MOST, print_report, scores_table


def row(seed: int, **others: Any) -> dict[str, Any]:
    """Return a row of the manifest."""
    scores = {"guide_first": 0.2, "guide_best": 0.6, "judge_first": 0.3}
    verdicts = {"judge_best": 0.5, "verdict_first": seed == 0, "verdict_best": True}
    told = {"prompt": "a [b]cat[/b]", "seed": seed, "status": "finished", "reason": ""}
    return {**told, **scores, **verdicts, **others}


def text(rows: list[dict[str, Any]]) -> str:
    """Return what a wide terminal shows."""
    console = Console(width=200, file=StringIO())
    console.print(scores_table(rows))
    return console.file.getvalue()


def test_the_footer_has_the_means_and_how_many_are_right():
    rows = [row(0), row(1, guide_best=0.8), row(2, status="failed", reason="full")]
    *_, first, second, failed, footer = text(rows).splitlines()
    assert "a [b]cat[/b]" in first
    assert "right → right" in first
    assert "wrong → right" in second
    assert failed.rstrip().endswith("full")
    assert "mean of 2 generations" in footer
    assert "0.200 → 0.700" in footer
    assert "0.300 → 0.500" in footer
    assert footer.rstrip().endswith("1 → 2 of 2 right")


def test_scores_that_are_not_known_have_no_mean():
    without = {"judge_first": None, "judge_best": None}
    none = {"verdict_first": None, "verdict_best": None}
    footer = text([row(seed, **without, **none) for seed in (0, 1)]).splitlines()[-1]
    assert footer.split("0.200 → 0.600")[1].split() == ["-", "→", "-"] * 2


def test_one_generation_needs_no_mean():
    assert "mean" not in text([row(0)])


def test_the_footer_counts_rows_that_are_not_shown(tmp_path, capsys):
    print_report([row(seed) for seed in range(MOST + 2)], MOST + 2, tmp_path)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"mean of {MOST + 2} generations" in printed
    assert f"1 → {MOST + 2} of {MOST + 2} right" in printed
    assert "and 2 more" in printed
