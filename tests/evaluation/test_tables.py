"""The tables: what was tuned on is in none of them, and each runs in a reduced form."""

import math
import re
import sys
from pathlib import Path

import pytest
import torch

from doodl.evaluation.folders import read_methods
from doodl.evaluation.scores import Scored
from doodl.evaluation.summary import Evaluation, evaluate
from doodl.shapes.renderer import render
from doodl.shapes.words import COLOURS, KINDS, PATTERNS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REDUCED = ["--prompts", "2", "--seeds", "2", "--updates", "1", "--draws", "2"]
TINY = ["--model.num_steps", "2", "--multicrop.num_cutouts", "2"]
NAMES = [
    *("text", "rare", "vocabulary", "personalization", "aesthetics", "editing"),
    "ablations",
]
APPLICATIONS = ["clip_text", "classifier", "aesthetic", "aesthetic_edit"]


@pytest.fixture(autouse=True)
def _found(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


# What is in a table -------------------------------------------------------------------


@pytest.mark.parametrize("application", [*APPLICATIONS, "personalization"])
def test_no_row_is_for_tuning_and_for_a_table(application, tmp_path):
    import splits
    import tables

    made = [tables.load(name) for name in NAMES]
    count = max(t.prompts for t in made if t.application == application)
    tuning = splits.rows(application, "tuning", 12, tmp_path)
    table = splits.rows(application, "table", count, tmp_path)
    assert (len(tuning), len(table)) == (12, count)
    names = set(map(splits.identity, table))
    assert len(names) == count
    assert not names & set(map(splits.identity, tuning))
    swept = splits.swept(application, 16, tmp_path / "s")
    assert not names & set(map(splits.identity, swept))
    if application != "aesthetic_edit":
        assert not {row["prompt"] for row in table} & splits.demonstrated()


def test_no_seed_is_for_tuning_and_for_a_table():
    import splits
    import tables

    seeds = max(tables.load(name).seeds for name in NAMES)
    assert seeds <= splits.FIRST_SEED["tuning"] < tables.DRAWS
    assert (splits.seeds("tuning", 2), splits.seeds("table", 4)) == ("1000-1001", "0-3")


def test_personalization_crosses_things_and_contexts(tmp_path):
    import splits

    rows = splits.rows("personalization", "table", 16, tmp_path)
    pictures = [row["image"] for row in rows]
    assert [pictures.count(path) for path in dict.fromkeys(pictures)] == [4] * 4
    for start in range(0, 16, 4):
        assert len({row["prompt"] for row in rows[start : start + 4]}) == 4


def test_prompts_of_the_text_table_are_of_three_kinds():
    from draws import text_rows

    from doodl.shapes.attributes import readings

    prompts = [row["prompt"] for row in text_rows(30, seed=7)]
    patterned = [prompt.count("patterned") for prompt in prompts]
    assert patterned == [0, 2, 2] * 10
    assert all("background" in prompt for prompt in prompts[2::3])
    assert all(readings(prompt) for prompt in prompts)


def test_rare_prompts_are_those_that_no_stage_of_samples_shows(monkeypatch, capsys):
    import rare

    asked = []

    def rates(captions, seeds, folder, first):
        asked.append((first, seeds, len(captions)))
        return {text: float(text == f"p{len(asked)}") for text in captions}

    monkeypatch.setattr(rare, "rates", rates)
    assert rare.never_right(["p0", "p1", "p2", "p3", "p4"], Path()) == ["p0", "p4"]
    assert asked == [(10_000, 8, 5), (20_000, 32, 4), (40_000, 160, 3)]
    assert "2 prompts have none of 160 samples right" in capsys.readouterr().out


def test_rare_prompts_are_for_tables_and_come_after_others_of_the_text_table(tmp_path):
    import rare
    import splits
    import tables

    listed = [row["prompt"] for row in rare.read(tables.load("rare").prompts)]
    assert len(set(listed)) == len(listed)
    candidates = rare.candidates(rare.COUNT)
    assert set(listed) <= set(candidates)
    text = splits.rows("clip_text", "table", rare.BEFORE, tmp_path)
    assert not {row["prompt"] for row in text} & set(candidates)
    with pytest.raises(ValueError, match=r"'rare.csv' has \d+; find more"):
        rare.read(1000)


def test_regimes_are_those_of_the_hit_rate():
    import tables

    found = [tables.regime(rate) for rate in (0.2, 0.05, 0.005, 0.0)]
    assert [name.removeprefix("hit rate ") for name in found] == [
        *("above 5%", "0.5 to 5%", "0.5 to 5%", "below 0.5%")
    ]


@pytest.mark.parametrize("name", NAMES)
def test_methods_are_commands_that_a_line_adds(name, tmp_path):
    import tables

    table = tables.load(name, updates=3)
    assert table.ours == "DOODL"
    stage, *options = table.methods["DOODL"]
    assert (stage, options[:2]) == ("fit", ["--model.num_updates", "3"])
    compared = {n for figure in table.figures for n in (figure.of, figure.to)}
    assert compared <= set(table.methods)
    text = tables.FILE.read_text().replace(
        "methods:\n", "methods:\n  mine: fit --model.adjoint my.Own\n", 1
    )
    text = text.replace("methods: [DOODL", "methods: [DOODL, mine")
    (tmp_path / "tables.yaml").write_text(text)
    table = tables.load(name, path=tmp_path / "tables.yaml")
    assert table.methods["mine"][:3] == ["fit", "--model.adjoint", "my.Own"]


def test_methods_of_an_edit_have_the_same_strength():
    import tables

    for options in tables.load("editing").methods.values():
        assert options[-2:] == ["--model.edit.strength", "0.5"]


# What a table says --------------------------------------------------------------------


def evaluation(**columns):
    """Methods with values in a column, 12 prompts with one seed each.

    Each keyword is a method, its values are dictionaries of columns to lists.
    """
    from doodl.evaluation.folders import Method

    methods = []
    for name, values in columns.items():
        rows = {
            (f"p{i}", 0): {"category": "", **{k: v[i] for k, v in values.items()}}
            for i in range(12)
        }
        methods.append(Scored(Method(name, Path(name), {}), rows))
    return Evaluation(methods)


def test_figures_stand_beside_those_of_the_paper():
    from figures import Figure, figures_table

    found = evaluation(
        DOODL={"clip_after": [66.0] * 6 + [60.0] * 6, "right_after": [1] * 12},
        one_step={"clip_after": [60.0] * 12, "right_after": [1, 0] * 6},
    )
    lines = figures_table(
        found,
        [
            Figure("score", "clip_after", "DOODL", "one_step", True, paper="+3.1%"),
            Figure("success", "right_after", "DOODL", "one_step", paper="+6 points"),
            Figure("other", "right_after", "DOODL", "nobody"),
        ],
    )
    assert lines[2].startswith("| score | 12 | +5.000 [")
    assert lines[2].endswith("% | +3.1% |")
    assert "| success (right) | 12 | +50.0 [" in lines[3]
    assert lines[3].endswith("points | +6 points |")
    assert lines[4] == "| other (right) |  | – | – |"


def test_the_last_sentence_also_says_where_doodl_loses():
    from figures import conclusion

    found = evaluation(
        DOODL={"right_after": [1, 1, 1, 0] * 3},
        one_step={"right_after": [0] * 12},
        best_of_N={"right_after": [1, 2, 2, 1] * 3},
        original={"right_after": [1, 1, 0, 1] * 3},
    )
    text = conclusion(found, "right_after", "DOODL")
    assert text.startswith("By right, DOODL is ahead of one_step (+75.0 [")
    assert ", behind best_of_N (−75.0 [" in text
    assert " and not told apart from original (0.0 [" in text
    backwards = Evaluation(found.methods[::-1])
    assert "ahead of one_step (+75.0 [" in conclusion(backwards, "right_after", "DOODL")


def test_too_few_prompts_decide_nothing(results):
    from figures import conclusion

    one = results("DOODL", ("a red circle",), gains=(0.1,))
    other = results("one_step", ("a red circle",))
    methods = read_methods([one, other])
    found = evaluate(
        [Scored(m, {k: _row(r) for k, r in m.results.items()}) for m in methods]
    )
    assert "nothing is decided" in conclusion(found, "judge_after", "DOODL")


def _row(result):
    return {"category": "", "judge_after": result.row["judge_best"]}


def test_the_last_sentence_of_aesthetics_has_the_scene_as_a_condition():
    from answers import endings

    found = evaluation(
        DOODL={"judge_after": [9.0] * 12, "right_after": [0] * 12},
        original={"judge_after": [5.0] * 12, "right_after": [1] * 12},
    )
    (text,) = endings("aesthetics", found, "DOODL")
    assert text == (
        "By rating with the scene as a condition, DOODL is behind original (−5.000)."
    )
    assert endings("text", found, "DOODL") == []


def test_a_rating_counts_only_if_the_scene_is_kept():
    from answers import kept_scene

    found = evaluation(
        DOODL={"judge_after": [6.0] * 12, "right_after": [1] * 8 + [0] * 4},
        one_step={
            "judge_after": [9.0] * 6 + [5.0] * 6,
            "right_after": [0] * 6 + [1] * 6,
        },
    )
    (block,) = kept_scene(found)
    row = block.splitlines()[-1]
    # Six scenes that one-step lost, two rated higher, four that DOODL lost.
    assert "| 8 / 0 / 4 |" in row
    assert row.endswith("| +1.000 | 2 |")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "same"),
        ({"colour": "red"}, "similar"),
        ({"colour": "red", "pattern": "plain"}, "other thing"),
        ({"kind": "moon"}, "other thing"),
        ({"background": "black"}, "context wrong"),
        ({"size": "large"}, "context wrong"),
    ],
)
def test_the_four_answers_of_the_paper(changes, expected):
    from personalization import answer

    thing = {"kind": "star", "pattern": "dotted", "colour": "pink"}
    seen = {**thing, "background": "white", "size": "small", **changes}
    context = {"background": {"white"}, "size": {"small"}}
    assert answer(seen, thing, context) == expected


def test_judges_of_personalization_read_renders():
    from draws import draw_things
    from readers import Attributes, Classes, Silhouettes

    scenes = draw_things(24, torch.Generator().manual_seed(3))
    pixels = render(scenes)
    for reader in (Attributes(), Classes(), Silhouettes()):
        seen = reader(pixels)
        right = [
            found["kind"] == KINDS[scenes.kind[i, 0]]
            and found["pattern"] == PATTERNS[scenes.pattern[i, 0]]
            and COLOURS[scenes.colour[i, 0]] in found["colour"]
            for i, found in enumerate(seen)
        ]
        assert sum(right) / len(right) >= 0.85, type(reader).__name__


def test_answers_are_those_of_the_majority():
    from personalization import answer_lines

    ours = {(f"p{i}", 0): ("same" if i % 2 else "similar",) * 3 for i in range(12)}
    split = ("same", "similar", "other thing")  # two of three say one or the other
    theirs = {(f"p{i}", 0): ("other thing",) * 3 if i else split for i in range(12)}
    block, note = answer_lines({"DOODL": ours, "one_step": theirs})
    first, second = (re.sub(r" \[[^]]*\]", "", x) for x in block.splitlines()[-2:])
    assert first == "| DOODL | 0 | 0 | 6 | 6 | 0 | 100.0 |  | 52.1% |"
    assert second == "| one_step | 0 | 11 | 0 | 0 | 1 | 8.3 | +91.7 | 25.0% |"
    assert "what most judges call one or the other" in note


def test_equal_pictures_have_an_unchanged_distance_and_closer_ones_a_smaller(generator):
    from vocabulary import group_rows

    real = torch.randn(60, 4, generator=generator)

    def made(offset):
        values = torch.randn(12, 5, 4, generator=torch.Generator().manual_seed(1))
        return {f"p{i}": list(v + offset) for i, v in enumerate(values)}

    found = {"DOODL": made(0.0), "same": made(1.0), "original": made(1.0)}
    rows = {row[1]: row for row in group_rows("house", real, found)}
    assert rows["same"][3] == "0.000%"
    assert rows["same"][5] == "0.000"
    for column in (3, 5):  # the estimate is inside its own interval
        mean, low, high = (
            float(x.replace("−", "-"))
            for x in re.findall(r"[+−][\d.]+", rows["DOODL"][column])
        )
        assert low < mean < high < 0
    assert rows["DOODL"][3].startswith("−")
    assert float(rows["DOODL"][2]) < float(rows["original"][2])
    assert float(rows["DOODL"][4]) < float(rows["original"][4])
    assert rows["original"][3] == "–"


def test_fewer_pictures_than_features_have_no_fid(generator):
    from vocabulary import fewest

    found = {f"p{i}": list(torch.randn(4, 8, generator=generator)) for i in range(3)}
    assert fewest(found) == 8  # without one prompt, as the jackknife needs it
    assert fewest({}) == 0


def test_the_jackknife_of_a_mean_is_students_interval():
    from scipy import stats
    from vocabulary import jackknife

    values = torch.rand(9, generator=torch.Generator().manual_seed(2)).double()
    without = [(values.sum() - v).item() / 8 for v in values]
    found = jackknife([values.mean().item(), *without])
    expected = stats.ttest_1samp(values.numpy(), 0.0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_pilot_plans_for_the_method_that_needs_most():
    import pilot

    random = torch.Generator().manual_seed(0)

    def method(rate):
        values = (torch.rand(40, 2, generator=random) < rate).double().tolist()
        return {
            (f"p{i}", j): {"category": "", "right_after": v}
            for i, some in enumerate(values)
            for j, v in enumerate(some)
        }

    found = evaluation(DOODL={}, one_step={}, original={})
    for scored, rate in zip(found.methods, (0.5, 0.5, 0.02), strict=True):
        scored.rows = method(rate)
    plan = pilot.plan(found, "right_after", "DOODL", seeds=4)
    assert plan["prompts"] == plan["needs"]["one_step"] > plan["needs"]["original"] > 2
    # Independent pictures: twice the variance of a share of one half, over 4 seeds.
    assert plan["needs"]["one_step"] == pytest.approx(
        0.5 / 4 * (1.96 / 0.06) ** 2, rel=0.5
    )
    assert math.isclose(plan["half_width"], 0.06)
    assert "prompts of 4 seeds give intervals of ±6 points" in pilot.sentence(plan, 0.1)


# Each table, reduced ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_a_reduced_table_is_made_and_made_again(name, shapes, tmp_path, monkeypatch):
    import tables

    monkeypatch.chdir(tmp_path)
    only = ["--only", "DOODL", "nesterov"] if name == "ablations" else []
    reduced = ["--seeds", "1"] if name == "editing" else []
    tables.main([name, *REDUCED, *reduced, *only, *TINY])
    (path,) = tmp_path.glob("results/tables/*/table/table.md")
    first = path.read_text()
    assert first.startswith("# ")
    assert "### Methods" in first
    assert "**By " in first
    assert {"text": "hit rate", "ablations": "last_iterate"}.get(name, "DOODL") in first
    tables.main([name, *REDUCED, *reduced, *only, *TINY])  # nothing is left to be made
    assert path.read_text() == first


@pytest.mark.slow
def test_a_pilot_says_how_many_prompts_are_needed_and_the_table_has_them(
    shapes, tmp_path, monkeypatch, capsys
):
    import pilot
    import tables

    monkeypatch.chdir(tmp_path)
    tables.main(["text", "--pilot", *REDUCED[:-1], "0", *TINY])
    assert "prompts of 2 seeds give intervals" in capsys.readouterr().out
    assert pilot.planned(tmp_path / "results/tables/text/pilot.json") >= 2
