"""What the report says and writes, without a browser."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from doodl.evaluation.curves import points
from doodl.evaluation.folders import read_method
from doodl.evaluation.markdown import rounded
from doodl.evaluation.pictures import film
from doodl.evaluation.report import command, write_report
from doodl.evaluation.scores import Scorers, score
from doodl.evaluation.statistics import clustered_mean
from doodl.evaluation.summary import evaluate
from doodl.images import load, save

HIT = "document.title='hit'"
EVIL = f'<img src=x onerror="{HIT}"></script><script>{HIT}</script> {{{{ 7*7 }}}} \'&"'

SIX = [f"prompt {i}" for i in range(6)]
"""As many prompts as it takes to tell methods apart."""


@pytest.fixture
def written(results, run, tmp_path):
    """Writes the report of one method a gain; returns the page's text."""

    def write(**gains):
        folders = [results(name, SIX, gains=(gain,)) for name, gain in gains.items()]
        run("report", *folders, "--output", tmp_path / "report")
        return (tmp_path / "report" / "index.html").read_text()

    return write


@pytest.mark.parametrize(
    ("gains", "headline"),
    [
        ({"a": 0.2, "b": 0.1}, "a is ahead of b"),
        ({"a": 0.1, "b": 0.2}, "b is ahead of a"),
        ({"a": 0.1, "b": 0.1}, "a and b are not told apart"),
        ({"a": 0.2, "b": 0.1, "c": 0.1}, "a is ahead of b and c"),
        (
            {"a": 0.2, "b": 0.1, "c": 0.3, "d": 0.2},
            "a is ahead of b, behind c, and not told apart from d",
        ),
        ({"a": 0.2, "b": 0.1, "c": 0, "d": -0.2}, "a is ahead of all 3 others"),
    ],
)
def test_the_headline_is_one_sentence_on_all_pairs(written, gains, headline):
    assert re.findall(r"<h1[^>]*>(.*?)</h1>", written(**gains)) == [headline]


def test_the_headline_names_what_is_not_compared(results, run, tmp_path):
    folders = [results("a", SIX, gains=(0.2,)), results("b", SIX)]
    folders.append(results("c", SIX[:1]))
    run("report", *folders, "--output", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<h1>a is ahead of b; c: not compared</h1>" in page


def test_more_than_three_comparisons_are_folded(written):
    assert "<details" not in written(x=0.3, y=0.2, z=0.1).partition("<main>")[0]
    page = written(a=0.3, b=0.2, c=0.1, d=0)
    assert "All 6 comparisons, pair by pair" in page
    assert len(re.findall("<li>[abc] is ahead of [bcd]: ", page)) == 6


def test_near_is_explained_where_it_is_shown(results, tmp_path):
    methods = [score(read_method(results(n), n, {}), Scorers()) for n in "ab"]
    for method in methods:
        for row in method.rows.values():
            row["moved"] = 0.1
    page = write_report(evaluate(methods), tmp_path / "report").read_text()
    assert page.count("<dt>near, %</dt>") == 2
    assert "<h2>What to keep in mind</h2>" in page
    assert page.count("Near is what moved by at most 0.1") == 1


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (-0.0004, 3, "0.000"),
        (0.04, 1, "0.0"),
        (-0.3, 0, "0"),
        (0.053, 3, "+0.053"),
        (-10.0, 1, "\N{MINUS SIGN}10.0"),
        (100, 0, "+100"),
    ],
)
def test_a_zero_has_no_sign(value, digits, shown):
    assert rounded(value, digits, "+") == shown


def test_the_tab_names_the_methods(written):
    assert "<title>a, b and 2 more – doodl report<" in written(a=0, b=1, c=0, d=0)


def test_a_prompt_cannot_leave_its_place_in_the_page(results, run, tmp_path):
    run("report", results(prompts=(EVIL,)), "--output", tmp_path / "report")
    html = (tmp_path / "report" / "index.html").read_text()
    assert html.count("<script") == html.count("</script>") == 2
    assert "<img src=x" not in html
    assert html.count("<img") == 1  # the page's own
    assert html.count("7*7") == html.count("{{ 7*7 }}") > 0


def test_one_method_has_a_page_without_a_rating_sheet(results, run):
    folder = results(prompts=SIX)
    assert "index.html" in run("report", folder)
    assert not (folder / "report" / "sheet").exists()
    page = (folder / "report" / "index.html").read_text()
    assert page.count("<svg") == 2
    assert "<h1>doodl raises the judge&#39;s score</h1>" in page


def test_too_few_prompts_are_not_said_to_change_nothing(results, run):
    folder = results()
    run("report", folder)
    page = (folder / "report" / "index.html").read_text()
    assert "<h1>doodl</h1>" in page
    assert "2 prompts, too few" in page


def test_a_film_is_a_sheet_of_its_frames(results, tmp_path):
    frames = [torch.full((3, 6, 8), 50 * u, dtype=torch.uint8) for u in range(5)]
    folder = results(films=frames)
    found = film(next(iter(read_method(folder, "m", {}).results.values())), tmp_path)
    assert (found["columns"], found["rows"]) == (3, 2)
    assert found["updates"] == [0, 1, 2, 3, 4]
    assert found["judge"][0] == 0.5
    assert found["judge"][4] is None  # no record of that update
    sheet = load(tmp_path / found["sheet"])
    assert sheet.shape == (3, 12, 24)
    for number in range(5):
        row, column = divmod(number, 3)
        cell = sheet[:, 6 * row : 6 * row + 6, 8 * column : 8 * column + 8]
        assert (cell * 255).round().unique().tolist() == [50 * number]


PEAK = [(0.2, 0.5), (0.5, 0.65), (0.4, 0.9), (0.3, 0.2)]
"""Scores of guide and judge after each update; the guide prefers the second picture."""


def peaked(folder):
    """Write these scores into a folder of results with gains of 0.15."""
    for path in folder.glob("*/metrics.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line, (guide, judge) in zip(lines, PEAK, strict=True):
            line |= {"guide": guide, "judge": judge}
        path.write_text("\n".join(map(json.dumps, lines)))
        picture = path.with_name("best.png").read_bytes()
        path.with_name("final.png").write_bytes(picture)
    return folder


@pytest.mark.parametrize(("iterate", "update"), [(None, 1), ("best", 1), ("last", 3)])
def test_a_film_says_which_update_is_the_result(results, tmp_path, iterate, update):
    frames = [torch.full((3, 6, 8), 50 * u, dtype=torch.uint8) for u in range(4)]
    folder = peaked(results(films=frames))
    method = read_method(folder, "m", {}, iterate)
    found = film(next(iter(method.results.values())), tmp_path)
    assert found["updates"][found["chosen"]] == update


def test_a_film_with_left_out_updates_has_the_chosen_one(
    results, tmp_path, monkeypatch
):
    monkeypatch.setattr("doodl.evaluation.pictures.MOST_FRAMES", 2)
    frames = [torch.full((3, 6, 8), 50 * u, dtype=torch.uint8) for u in range(4)]
    folder = peaked(results(films=frames))
    found = film(next(iter(read_method(folder, "m", {}).results.values())), tmp_path)
    assert (found["updates"], found["chosen"]) == ([0, 1, 2, 3], 1)


@pytest.mark.parametrize(("iterate", "judge"), [(None, 0.65), ("last", 0.2)])
@pytest.mark.parametrize("part", ["guide", "judge"])
def test_a_curve_ends_at_the_scores_of_the_result(results, iterate, part, judge):
    method = read_method(peaked(results(gains=(0.15,))), "m", {}, iterate)
    scored = score(method, Scorers())
    spent, means = zip(*points(scored, part), strict=True)
    assert spent[-1] == clustered_mean(scored.values("equivalents")).mean
    assert means[-1].mean == clustered_mean(scored.values(f"{part}_after")).mean
    if part == "judge":
        assert means[-1].mean == pytest.approx(judge)
        # Of the guide's favourite, though the judge itself prefers the third.
        assert max(mean.mean for mean in means[:2]) == pytest.approx(0.65)
        assert means[2].mean == pytest.approx(0.65 if iterate is None else 0.9)


def test_a_long_curve_is_thinned_and_keeps_its_end(results, monkeypatch):
    monkeypatch.setattr("doodl.evaluation.curves.MOST_POINTS", 3)
    scored = score(read_method(peaked(results(gains=(0.15,))), "m", {}), Scorers())
    spent, means = zip(*points(scored, "guide"), strict=True)
    assert len(spent) == 3
    assert spent[-1] == clustered_mean(scored.values("equivalents")).mean
    assert means[-1].mean == clustered_mean(scored.values("guide_after")).mean


def test_the_caption_says_whose_scores_a_curve_has(results, run):
    folder = peaked(results())
    run("report", folder)
    page = folder / "report" / "index.html"
    assert "the picture that the guide prefers so far" in page.read_text()
    run("report", folder, "--iterate", "last")
    assert "the picture after each update" in page.read_text()


def test_scores_of_different_guides_are_not_drawn_together(results, run, tmp_path):
    other = {"class_path": "doodl.guides.Symmetry", "init_args": {"axis": 1}}
    model = results.settings["model"] | {"guide": other}
    second = results("other", settings=results.settings | {"model": model})
    run("report", results(), second, "--output", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert re.findall(r'<svg[^>]*aria-label="(\w+)', page) == ["judge"]


def test_equal_pictures_of_updates_have_a_frame_each(results, tmp_path):
    values = (0, 0, 90, 90, 90, 200)
    frames = [torch.full((3, 6, 8), value, dtype=torch.uint8) for value in values]
    folder = results(films=frames)
    found = film(next(iter(read_method(folder, "m", {}).results.values())), tmp_path)
    assert found["updates"] == [0, 1, 2, 3, 4, 5]
    sheet = load(tmp_path / found["sheet"])
    corners = (sheet[0, ::6, ::8] * 255).round().flatten().tolist()
    assert tuple(corners) == values


def test_a_damaged_film_is_left_out(results, run):
    frames = [torch.randint(0, 255, (3, 8, 8), dtype=torch.uint8) for _ in range(3)]
    folder = results(films=frames)
    one, other, *_ = sorted(folder.glob("*/trajectory.png"))
    one.write_bytes(b"no picture")
    other.write_bytes(other.read_bytes()[:-150])
    run("report", folder)
    page = (folder / "report" / "index.html").read_text()
    assert page.count("-u.webp") == 2


def test_large_pictures_have_thumbnails(results, run, tmp_path):
    run("report", results(side=400, seeds=(0,)), "--output", tmp_path / "report")
    names = {path.name for path in (tmp_path / "report" / "pictures").iterdir()}
    assert len(names) == 4
    assert sum(name.endswith("-s.webp") for name in names) == 2


def test_the_command_survives_a_shell(results, tmp_path):
    prompt = "a 'red' circle; rm -rf $HOME"
    method = read_method(results(prompts=(prompt,), seeds=(3,)), "m", {})
    (method.folder / "config.yaml").write_text("")
    words = shlex.split(command(method, next(iter(method.results.values())), tmp_path))
    assert words[:2] == ["doodl", "fit"]
    assert json.loads(words[words.index("--data.prompts") + 1]) == [prompt]
    assert words[words.index("--data.seeds") + 1] == "[3]"


def test_the_command_makes_the_picture_again(shapes, tmp_path, monkeypatch):
    from doodl.cli import main

    monkeypatch.chdir(tmp_path)
    save(torch.rand(3, 32, 32), tmp_path / "thing.png")
    lines = ["prompt,image,negative_prompt", "a red circle,thing.png,blue"]
    lines += ["a star,thing.png,"]
    (tmp_path / "prompts.csv").write_text("\n".join(lines))
    asked = ["--config", "personalization", "--data.images", "null"]
    asked += ["--data.prompts", "prompts.csv", "--data.seeds", "[0,1]"]
    asked += ["--model.num_steps", "2", "--model.num_updates", "2"]
    main(["fit", *asked, "--results.folder", "results/first"])
    method = read_method(tmp_path / "results" / "first", "first", {})
    result = method.results["a red circle", 1]
    elsewhere = tmp_path / "results" / "first" / "report"
    elsewhere.mkdir()
    words = shlex.split(command(method, result, elsewhere))
    assert words[:4] == ["doodl", "fit", "--config", "../config.yaml"]
    monkeypatch.chdir(elsewhere)
    main(words[1:])
    (again,) = Path("results/again").glob("*/best.png")
    # Another size of the batch changes round-off, and nothing else.
    assert (load(again) - load(result.after)).abs().max() < 0.02


def test_a_target_text_of_its_own_has_no_command(results, tmp_path):
    method = read_method(results(guide_prompt="something else"), "m", {})
    assert command(method, next(iter(method.results.values())), tmp_path) == ""
