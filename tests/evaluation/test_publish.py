"""The documentation's tables are the files that commands have written."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def publish(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import publish

    return publish


def test_the_documentation_has_the_tables_of_the_files(publish):
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    with_blocks = {path for path in pages if publish.BLOCK.search(path.read_text())}
    assert with_blocks == set(publish.DOCUMENTS)
    for path in with_blocks:
        assert path.read_text() == publish.filled(path.read_text()), path.name


def test_the_figures_of_the_world_are_the_recorded_ones(publish, tmp_path):
    written = publish.world(tmp_path).read_text()
    assert written == (publish.RESULTS / "world.md").read_text()
    assert "| all weights in MB |" in written


def test_no_table_stands_outside_of_a_block(publish):
    text = (ROOT / "docs" / "applications.md").read_text()
    outside = publish.BLOCK.sub("", text)
    assert not re.search(r"^\|", outside, re.MULTILINE)


def test_a_block_is_filled_again_and_without_the_files_title(publish, tmp_path):
    folder = tmp_path / "benchmarks" / "results"
    folder.mkdir(parents=True)
    begin, end = "<!-- begin benchmarks/results/a.md -->", "<!-- end -->"
    text = f"before\n{begin}\nold\n{end}\nafter\n"
    with pytest.raises(ValueError, match="no 'benchmarks/results/a.md'"):
        publish.filled(text, tmp_path)
    (folder / "a.md").write_text("# Title\n\n| new |\n")
    found = publish.filled(text, tmp_path)
    assert found == f"before\n{begin}\n\n| new |\n\n{end}\nafter\n"
    assert publish.filled(found, tmp_path) == found


def test_finished_tables_are_copied_and_summed_up(publish, tmp_path):
    with pytest.raises(ValueError, match="no finished table"):
        publish.collect(tmp_path, tmp_path / "to")
    made = tmp_path / "text" / "table"
    made.mkdir(parents=True)
    (made / "table.md").write_text("# Text\n")
    lines = ["method,prompt,seed,right_after,equivalents"]
    rates = {
        "original": (0, 0),
        "one_step": (0, 1),
        "best_of_N": (1, 1),
        "DOODL": (1, 0),
        "fast": (1, 1),
    }
    for method, values in rates.items():
        calls = 900 if method == "fast" else 2700
        lines += [
            f"{method},prompt {i % 4},{i},{values[i % 2]},{calls}" for i in range(8)
        ]
    (made / "evaluation.csv").write_text("\n".join(lines))
    assert publish.collect(tmp_path, tmp_path / "to") == ["text"]
    assert (tmp_path / "to" / "text.md").read_text() == "# Text\n"
    row = (tmp_path / "to" / "summary.md").read_text().splitlines()[2]
    assert re.sub(r" \[[^\]]*\]", "", row).endswith(
        "| 0.0 | 50.0 | 100.0 | 50.0 | 100.0 |"
    )
    row = (tmp_path / "to" / "economy.md").read_text().splitlines()[2]
    row = re.sub(r" \[[^\]]*\]", "", row)
    assert row.endswith("| 2700 | 900 | – | +50.0 | – | – | – |")
    assert "same prompts" in (tmp_path / "to" / "conditions.md").read_text()


def test_a_summary_keeps_the_rows_of_tables_that_were_not_made(publish, tmp_path):
    title = publish.load("editing").title
    path = tmp_path / "summary.md"
    path.write_text(f"|  | score |\n| --- | --- |\n| {title} | right, % | 7.0 |\n")
    row = [title, "right, %", "7.0"]
    assert publish.earlier(path)[title] == row
    assert publish.earlier(tmp_path / "none.md") == {}
    other, new = [publish.load("text").title, "x"], [title, "new"]
    assert publish.ordered({other[0]: other}, {title: row}) == [other, row]
    assert publish.ordered({title: new}, {title: row}) == [new]
