"""`doodl test`: what it writes, and what it refuses with one sentence."""

import csv
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import torch
import yaml

from doodl.evaluation.scores import COLUMNS
from doodl.evaluation.statistics import clustered_mean, compare
from doodl.images import save

ROOT = Path(__file__).parents[2]


def rows(folder):
    with (folder / "evaluation.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_methods_are_scored_and_compared(results, run, tmp_path):
    prompts = [f"prompt {i}" for i in range(12)]
    first = results("doodl", prompts, gains=(0.3, 0.1))
    second = results(
        "one_step",
        prompts,
        gains=(0.1, -0.1),
        settings=results.one_step,
        calls=4,
        gradient_calls=4,
    )
    printed = run("test", "--results", first, second, "--output", tmp_path / "out")
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert text in printed
    assert "doodl is ahead of one_step: judge of doodl − one_step is +0.200" in text
    assert "| doodl − one_step | +0.200 | 24 / 0 / 0 | p = 0.00049 |" in text
    assert "12 of 12" in text
    found = rows(tmp_path / "out")
    assert list(found[0]) == list(COLUMNS)
    assert [row["method"] for row in found] == ["doodl"] * 24 + ["one_step"] * 24
    one = found[0]
    assert (one["guide_before"], one["judge_after"], one["right_after"]) == (
        *("0.2", "0.8", "1"),
    )
    assert (one["calls"], one["gradient_calls"]) == ("32", "24")
    assert float(one["equivalents"]) == 32 + 2.4 * 24
    assert float(found[24]["equivalents"]) == 4 + 2.4 * 4
    assert one["flops"] == ""  # nobody knows the invented model
    assert 2 < float(one["kurtosis"]) < 4
    assert 4 < float(one["psnr"]) < 12


def test_the_same_command_writes_the_same_files(results, run, tmp_path):
    folder = results()
    for name in ("one", "two"):
        run("test", "--results", folder, "--output", tmp_path / name)
    for name in ("evaluation.csv", "evaluation.md"):
        first = (tmp_path / "one" / name).read_bytes()
        assert first == (tmp_path / "two" / name).read_bytes()


def test_categories_of_other_prompts_are_refused(results, refused, tmp_path):
    path = tmp_path / "categories.csv"
    path.write_text("prompt,category\na fox,animals\n")
    message = refused("test", "--results", results(), "--categories", path)
    assert "such as 'a blue star', received those of others, such as 'a fox'" in message


def test_categories_have_a_table(results, run, tmp_path):
    path = tmp_path / "categories.csv"
    path.write_text("prompt,category\na red circle,one\na blue star,two\n")
    folder = results(gains=(0.1, 0.1, -0.1, 0.1))
    printed = run("test", "--results", folder, "--categories", path)
    assert "| one | 1 | 100.0 |" in printed
    assert "| two | 1 | 50.0 |" in printed


def test_methods_are_compared_within_a_category(results, run, tmp_path):
    prompts = [f"{word} {i}" for word in ("rare", "common") for i in range(4)]
    path = tmp_path / "categories.csv"
    lines = [f"{prompt},{prompt.split()[0]}" for prompt in prompts]
    path.write_text("\n".join(["prompt,category", *lines]))
    ours = results("ours", prompts, gains=(0.1, 0.1))
    drawn = results("drawn", prompts, gains=(-0.1,) * 8 + (0.1,) * 8)
    printed = run("test", "--results", ours, drawn, "--categories", path)
    assert "| rare | 4 | 100.0 | 0.0 |" in printed
    assert "| rare | ours − drawn | +100.0 |" in printed
    assert "| common | ours − drawn | 0.0 |" in printed


def test_others_can_be_compared_with_one_method_only(results, run, refused):
    folders = [results(name) for name in ("a", "b", "c")]
    printed = run("test", "--results", *folders, "--against", "b")
    assert "| a − b |" in printed
    assert "| b − c |" in printed
    assert "| a − c |" not in printed
    message = refused("test", "--results", *folders, "--against", "d")
    assert "one of a, b, c, received 'd'" in message


def test_the_clip_and_the_judge_of_the_shapes_world(results, run, shapes, tmp_path):
    verdict = {"class_path": "doodl.shapes.judge.AttributeJudge", "init_args": {}}
    model = results.settings["model"] | {"pretrained": "shapes", "verdict": verdict}
    folder = results(settings={"command": "fit", "model": model}, side=32, gains=(-1,))
    run("test", "--results", folder, "--output", tmp_path / "out")
    for row in rows(tmp_path / "out"):
        assert 0 <= float(row["clip_after"]) <= 100
        assert 0 <= float(row["moved"]) <= 2
        assert 0 <= float(row["kept"]) <= 1
        assert row["wrong"]
        assert row["reason"]


def edits(results, name, **options):
    """A folder of edits without prompts, of three pictures with four seeds each."""
    folder = results(name, [f"edit {i}" for i in range(3)], range(4), **options)
    for path in folder.glob("*/summary.json"):
        row = json.loads(path.read_text())
        row |= {"image": f"picture{row['prompt'][-1]}.png", "prompt": ""}
        path.write_text(json.dumps(row))
    return folder


def test_seeds_of_an_edited_picture_stay_together(results, run, tmp_path, monkeypatch):
    gains = (0.1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.3, 0.3, 0.2, 0.2, 0.2, 0.2)
    ours = edits(results, "ours", gains=gains)
    theirs = edits(results, "theirs", gains=(0.0,))
    printed = run("test", "--results", ours, theirs, "--output", tmp_path / "out")
    assert "3 prompts; generations: ours 12, theirs 12" in printed
    assert "p = 0.25" in printed  # three pictures, each in favour of ours
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    from publish import read_column

    found = read_column(tmp_path / "out" / "evaluation.csv", "judge_after")
    means = [clustered_mean(found[name]) for name in ("ours", "theirs")]
    assert [(mean.prompts, mean.count) for mean in means] == [(3, 12)] * 2
    groups = defaultdict(set)
    for (prompt, _), value in found["ours"].items():
        groups[prompt].add(value)
    assert sorted(map(len, groups.values())) == [1, 1, 1]
    assert compare(found["ours"], found["theirs"]).difference.count == 12


def test_edits_without_prompt_and_picture_are_told_apart_by_their_names(results, run):
    folder = results(prompts=("",), seeds=(0, 1, 2), gains=(0.1, 0.2, 0.3))
    for path in folder.glob("*/summary.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 0}))
    printed = run("test", "--results", folder)
    assert "3 prompts" in printed
    assert "one prompt" not in printed


def test_success_counts_at_equal_movement(results, run, shapes, tmp_path):
    verdict = {"class_path": "doodl.shapes.judge.AttributeJudge", "init_args": {}}
    model = results.settings["model"] | {"pretrained": "shapes", "verdict": verdict}
    settings = {"command": "fit", "model": model}
    prompts = [f"prompt {i}" for i in range(4)]
    one = results("one", prompts, settings=settings, side=32)
    other = results("other", prompts, settings=settings, side=32)
    for path in other.glob("*/original.png"):  # it has not moved at all
        path.write_bytes((path.parent / "best.png").read_bytes())
    run("test", "--results", one, other, "--output", tmp_path / "out")
    found = rows(tmp_path / "out")
    limit = statistics.median(float(r["moved"]) for r in found if r["method"] == "one")
    for row in found:
        assert float(row["near"]) == (float(row["moved"]) <= limit)
    near = {
        name: [r["near"] for r in found if r["method"] == name]
        for name in ["one", "other"]
    }
    assert near["other"] == ["1"] * 8
    assert "0" in near["one"]
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert "right and near" in text
    assert "Near is what moved by at most" in text


def test_only_methods_with_equal_guides_are_compared_by_it(results, run):
    prompts = [f"prompt {i}" for i in range(6)]
    model = results.settings["model"]
    other = {"class_path": "doodl.guides.Other", "init_args": {}}
    odd = {"command": "fit", "model": model | {"guide": other}}
    one, two = results("one", prompts), results("two", prompts, gains=(0.2,))
    three = results("three", prompts, settings=odd)
    printed = run("test", "--results", one, two, three)
    assert "three has another guide than one, two: guide scores of" in printed
    assert "| guide | two − three |" not in printed
    assert "| guide | one − two |" in printed
    assert "| guide | one − three |" not in printed
    assert "| judge | one − three |" in printed


def test_unequal_conditions_are_said(results, run):
    model = results.settings["model"]
    settings = {"command": "fit", "model": model | {"num_steps": 20}}
    printed = run("test", "--results", results("a"), results("b", settings=settings))
    assert "Methods differ in the number of steps: a (4), b (20)." in printed
    assert "the guidance scale" not in printed


def test_other_originals_are_said(results, run):
    one, other = results("one"), results("other")
    assert "The originals of" not in run("test", "--results", one, other)
    for path in other.glob("*/original.png"):
        save(torch.zeros(3, 8, 8), path)
    assert "originals of other are not those of one" in run(
        "test", "--results", one, other
    )


def test_the_winner_is_named_first_with_its_wins(results, run):
    prompts = [f"prompt {i}" for i in range(6)]
    worse, better = results("worse", prompts), results("better", prompts, gains=(0.3,))
    printed = run("test", "--results", worse, better)
    assert (
        "better is ahead of worse: judge of better − worse is +0.200; "
        "better won 12, tied 0, lost 0." in printed
    )


def test_every_row_names_the_picture_and_the_class_asked_for(results, run, tmp_path):
    folder = results(image="a.png", target="dog")
    run("test", "--results", folder, "--output", tmp_path / "out")
    assert {(r["image"], r["target"]) for r in rows(tmp_path / "out")} == {
        ("a.png", "dog")
    }


def test_pictures_made_elsewhere_are_compared_with_ours(results, run, tmp_path):
    ours = results()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    lines = ["prompt,seed,picture,judge"]
    for number, (prompt, seed) in enumerate(
        (p, s) for p in ("a red circle", "a blue star") for s in (0, 1)
    ):
        save(torch.rand(3, 8, 8), theirs / f"{number}.png")
        lines.append(f"{prompt},{seed},{number}.png,0.4")
    (theirs / "manifest.csv").write_text("\n".join(lines))
    printed = run("test", "--results", ours, theirs, "--output", tmp_path / "out")
    assert "different judges" in printed
    assert "| theirs |" in printed


def test_fid_needs_more_pictures_than_features(results, refused, shapes, tmp_path):
    folder = results(side=32)
    for number in range(3):
        save(torch.rand(3, 32, 32), tmp_path / "real" / f"{number}.png")
    options = ["--references", tmp_path / "real", "--features", "shapes/judge"]
    message = refused("test", "--results", folder, *options)
    assert "128 features needs at least 129 pictures" in message
    assert "3 real and 4 made" in message


def test_weights_are_never_downloaded(results, refused, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = results()
    assert "not there" in refused("test", "--results", folder, "--lpips", "alex")
    assert "alex, vgg" in refused("test", "--results", folder, "--lpips", "resnet")
    save(torch.rand(3, 8, 8), tmp_path / "real" / "one.png")
    options = ["--references", tmp_path / "real"]
    assert "not there" in refused("test", "--results", folder, *options)


# What is unfinished is scored and said ------------------------------------------------


def test_a_half_finished_folder_is_scored_as_far_as_it_is(results, run):
    folder = results()
    job = {"prompts": ["a red circle", "a blue star", "a ring"], "seeds": "0-1"}
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": job}))
    (folder / "manifest.csv").unlink()
    expected = "doodl is unfinished: 4 of 6 generations are finished and scored"
    assert expected in run("test", "--results", folder)
    job["prompts"] = job["prompts"][:2]
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": job}))
    assert "unfinished" not in run("test", "--results", folder)


def test_without_the_plan_of_a_job_states_tell_that_it_is_unfinished(results, run):
    folder = results()
    gone = yaml.safe_dump({"data": {"prompts": "gone.txt"}})
    (folder / "config.yaml").write_text(gone)
    (folder / ".state").mkdir()
    (folder / ".state" / "x.pt").write_bytes(b"")
    printed = run("test", "--results", folder)
    assert "1 batch is begun, 4 generations are finished and scored" in printed


def test_missing_pictures_are_said(results, run):
    folder = results()
    next(folder.glob("*/best.png")).unlink()
    assert "lacks the pictures of 1 of 4 generations" in run(
        "test", "--results", folder
    )
    next(folder.glob("*/original.png")).unlink()
    assert "lacks the originals of 1 of 4 gener" in run("test", "--results", folder)


def test_generations_that_only_one_method_has_are_said(results, run):
    prompts = ("a red circle", "a blue star", *(f"{n} circles" for n in range(5)))
    few, many = results("few", prompts[:2]), results("many", prompts)
    printed = run("test", "--results", few, many)
    assert "few and many have 4 of 14 generations in common" in printed
    assert "few and many have 2 prompts in common, too few to tell" in printed
    one = results("one", prompts[:1])
    assert "have 1 prompt in common: intervals need" in run(
        "test", "--results", one, many
    )


def test_one_prompt_has_no_interval_and_it_is_said(results, run):
    printed = run("test", "--results", results(prompts=("a red circle",)))
    assert "intervals need two or more" in printed
    assert "[" not in printed.partition("## Methods")[2].partition("##")[0]


def test_a_failed_generation_is_a_reason(results, run, tmp_path):
    folder = results(status="failed", reason="out of memory")
    run("test", "--results", folder, "--output", tmp_path)
    found = rows(tmp_path)[0]
    assert (found["wrong"], found["reason"]) == ("failed", "out of memory")


# What is refused ----------------------------------------------------------------------


def test_no_results_are_refused(refused, tmp_path):
    assert "Expected --results" in refused("test")
    assert "there is none of that name" in refused("test", "--results", tmp_path / "no")
    (tmp_path / "empty").mkdir()
    message = refused("test", "--results", tmp_path / "empty")
    assert "no finished generation" in message


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["test", "--reslts", "a"], "received --reslts; did you mean --results?"),
        (["test", "--result", "a", "--clipp", "none"], "--clipp; did you mean --clip?"),
        (["test", "--results", "a", "--clipp=x"], "--clipp; did you mean --clip?"),
        (["test", "--results", "a", "--zzz"], "--zzz; see `doodl test --help`."),
        (["test", "a b"], "received a b; give folders after --results."),
        (["test", "a", "--zzz"], "received a; give folders after --results."),
        (["report", "--results", "a"], "--results; give folders without an option."),
        (["report", "--result", "a"], "--result; give folders without an option."),
        (["report", "--results=a"], "received none; see `doodl report --help`."),
        (["report", "a", "--outptu", "b"], "--outptu; did you mean --output?"),
    ],
)
def test_a_wrong_option_has_a_remedy(refused, arguments, sentence):
    assert refused(*arguments).endswith(sentence)


def test_a_folder_of_another_job_is_refused(refused, tmp_path):
    (tmp_path / "settings.json").write_text('{"learning_rate": 1}')
    message = refused("test", "--results", tmp_path)
    assert "Expected the settings of a model" in message
    (tmp_path / "settings.json").write_text("{")
    assert "Could not read" in refused("test", "--results", tmp_path)


def test_a_manifest_without_prompts_is_refused(refused, tmp_path):
    (tmp_path / "manifest.csv").write_text("name,file\na,b.png\n")
    message = refused("test", "--results", tmp_path)
    assert "Expected the columns prompt" in message
    assert "found file, name" in message


def test_pictures_of_two_sizes_are_refused(results, refused):
    folder = results()
    save(torch.rand(3, 8, 9), next(folder.glob("*/best.png")))
    message = refused("test", "--results", folder)
    assert "pictures of one size" in message
    assert "9 x 8" in message


def test_folders_without_a_common_generation_are_refused(results, refused):
    one, other = results("one", ("a",)), results("other", ("b",))
    message = refused("test", "--results", one, other)
    assert "no generation in common" in message
    assert "twice" in refused("test", "--results", one, one)


def test_a_picture_without_a_prompt_is_refused(refused, tmp_path):
    save(torch.rand(3, 8, 8), tmp_path / "one.png")
    assert "No prompt is known" in refused("test", "--results", tmp_path)
    (tmp_path / "prompts.txt").write_text("a\nb\n")
    assert "2 lines and 1 pictures" in refused("test", "--results", tmp_path)
    for name in ("prompts.txt", "one.txt"):
        (tmp_path / name).write_text("ein grüner Ring", "latin-1")
        assert f"UTF-8 in '{tmp_path / name}'" in refused("test", "--results", tmp_path)
        (tmp_path / name).unlink()


def test_pictures_of_ours_carry_their_prompts_and_seeds(run, refused, tmp_path):
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
        for seed in (3, 4):
            ours = json.dumps({"prompt": "a red circle", "seed": seed})
            save(torch.rand(3, 8, 8), folder / f"{seed}.png", {"doodl": ours})
    run("test", "--results", *folders)
    with (folders[0] / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [(row["prompt"], row["seed"]) for row in rows]
    assert found == [("a red circle", "3"), ("a red circle", "4")] * 2
    save(torch.rand(3, 8, 8), folders[0] / "3.png", {"doodl": "{"})
    assert "No prompt is known" in refused("test", "--results", folders[0])
    workflow = json.dumps({"3": {"class_type": "KSampler"}})
    save(torch.rand(3, 8, 8), folders[0] / "3.png", {"prompt": workflow})
    assert "No prompt is known" in refused("test", "--results", folders[0])


def test_a_summary_that_cannot_be_read_is_said(results, run, refused):
    one = results("one", ("a", "b"))
    first, *others = sorted(one.glob("*/summary.json"))
    first.write_text('{"a":')
    run("test", "--results", one)
    text = (one / "evaluation.md").read_text()
    assert f"lacks 1 of {1 + len(others)} generations" in text
    assert first.parent.name in text
    for path in others:
        path.write_text('{"a":')
    assert f"Could not read '{first}'" in refused("test", "--results", one)


def test_a_folder_of_which_no_picture_exists_is_refused(refused, tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("prompt,picture\na,gone.png\n")
    assert "found none of the 1" in refused("test", "--results", tmp_path)
    manifest.write_bytes(b"prompt,picture\n\xff\xfe,gone.png\n")
    assert "save it as UTF-8" in refused("test", "--results", tmp_path)


def test_an_output_that_is_no_folder_is_refused_before_anything_is_scored(
    results, refused, tmp_path, monkeypatch
):
    one, other = results("one"), tmp_path / "file"
    other.touch()
    monkeypatch.setattr("doodl.evaluation.command.scored", None)
    for output in (other, "/dev/null/x"):
        message = refused("test", "--results", one, "--output", output)
        assert f"Could not make the folder '{output}'" in message
        message = refused("report", one, "--output", output)
        assert f"Could not make the folder '{output}'" in message


def test_settings_without_a_model_are_refused(results, refused):
    one = results("one")
    (one / "settings.json").write_text('{"model": 5}')
    message = refused("test", "--results", one)
    assert "Expected the settings of a model" in message
    assert "restore the file, or remove it" in message


def test_a_ratings_file_of_another_sheet_is_refused(results, run, refused, tmp_path):
    one, other = results("one"), results("other")
    run("report", one, other)
    key = one / "report" / "sheet_key.json"
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"sheet": "of another", "answers": {}}))
    options = ("test", "--ratings", answers)
    assert "--sheet" in refused(*options)
    assert "another rating sheet" in refused(*options, "--sheet", key)
    assert "another rating sheet" in refused(*options, "--results", one, other)
    answers.write_text("[]")
    assert "Expected sheet and answers" in refused(*options, "--sheet", key)


def test_a_rater_counts_once(results, run, refused, tmp_path):
    one, other = results("one"), results("other")
    run("report", one, other)
    key = one / "report" / "sheet_key.json"
    sheet = json.loads(key.read_text())["sheet"]
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"sheet": sheet, "answers": {}}))
    twice = (answers, tmp_path / "." / "answers.json")
    message = refused("test", "--sheet", key, "--ratings", *twice)
    assert f"one file of answers of each rater, received '{answers}' twice" in message


@pytest.fixture
def sheet(results, run, tmp_path):
    """Writes answers to the first questions of a sheet; returns the arguments."""
    one, other = results("one"), results("other")
    run("report", one, other)
    key = one / "report" / "sheet_key.json"
    content = json.loads(key.read_text())

    def write(*files):
        paths = []
        for k, chosen in enumerate(files):
            names = [question["id"] for question in content["questions"]]
            answers = dict(zip(names, chosen, strict=False))
            paths.append(tmp_path / f"answers{k}.json")
            text = json.dumps({"sheet": content["sheet"], "answers": answers})
            paths[-1].write_text(text)
        return ["test", "--sheet", key, "--ratings", *paths]

    return write


def test_it_is_said_how_many_questions_were_answered(sheet, run):
    printed = run(*sheet(["left"], ["left", "same"]))
    assert "Answers given: 3 of 8, to 2 questions." in printed
    assert "equal" not in printed
    assert "Some files are equal" in run(*sheet(["left"], ["left"]))


def test_a_question_that_is_answered_twice_is_refused(sheet, refused):
    arguments = sheet(["left"])
    text = arguments[-1].read_text()
    name = next(iter(json.loads(text)["answers"]))
    twice = text.replace(f'"{name}"', f'"{name}": "same", "{name}"')
    arguments[-1].write_text(twice)
    assert f"'{name}' stands there twice; export them again" in refused(*arguments)


def test_a_sheet_of_other_methods_is_refused(sheet, results, refused):
    others = ["--results", results("a"), results("b")]
    message = refused(*sheet(["left"]), *others)
    assert "Expected a rating sheet of a, b, received one of one, other" in message


@pytest.mark.parametrize("path", ["", "a\0b", "~nobody9/x", "null"])
def test_paths_are_read_as_everywhere(refused, results, monkeypatch, tmp_path, path):
    for command in (["test", "--results"], ["report"]):
        assert "a folder of results" in refused(*command, path)
    answers = ["--ratings", path, "--sheet", "x"]
    assert "answers" in refused("test", *answers)
    assert "references" in refused("test", "--results", results(), "--references", path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "Expected a folder of results" in refused("report", "~/gone")


@pytest.mark.parametrize("name", ["no.such.Judge", "doodl.guides.Symmetry"])
def test_a_judge_has_to_exist_and_to_name_attributes(results, refused, name):
    assert name in refused("test", "--results", results(), "--verdict", name)
