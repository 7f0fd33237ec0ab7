"""The report in a browser: it slides, filters and sorts, and prompts do nothing."""

import itertools
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from doodl.evaluation.curves import points
from doodl.evaluation.folders import read_method
from doodl.evaluation.headline import zeros
from doodl.evaluation.pictures import film
from doodl.evaluation.report import command, write_report
from doodl.evaluation.scores import Scorers, score
from doodl.evaluation.statistics import clustered_mean
from doodl.evaluation.summary import evaluate
from doodl.images import load, save

HIT = "document.title='hit'"
EVIL = f'<img src=x onerror="{HIT}"></script><script>{HIT}</script> {{{{ 7*7 }}}} \'&"'

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


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


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def put(browser, selector, value):
    """Set a field as a hand does: its value, and the event."""
    script = (
        "const field = document.querySelector(arguments[0]);"
        "field.value = arguments[1];"
        "field.dispatchEvent(new Event('input', {bubbles: true}));"
    )
    browser.execute_script(script, selector, str(value))


def gains(browser):
    cards = find(browser, "#grid .card")
    lines = [find(card, ".numbers")[0].text for card in cards]
    found = [line.rsplit(" ", 1)[1].replace("\N{MINUS SIGN}", "-") for line in lines]
    return [float(gain) for gain in found]


def test_the_slider_moves_by_keyboard_and_shows_more_or_less(page):
    browser = page()
    slider = find(browser, ".pair input")[0]
    box = find(browser, ".pair")[0]

    def cut():
        return browser.execute_script(
            "return getComputedStyle(arguments[0].querySelector('.after')).clipPath",
            box,
        )

    assert "50%" in cut()
    slider.send_keys("\ue014")  # right arrow
    assert "51%" in cut()
    put(browser, "#all", 0)
    assert "0%" in cut() or "0px" in cut()
    assert slider.get_attribute("value") == "0"


def test_pictures_are_there(page):
    browser = page()
    loaded = "return [...document.images].filter(i => i.naturalWidth === 8).length"
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10).until(lambda b: b.execute_script(loaded) == 16)


def test_the_worst_comes_first_and_sorting_sorts(page):
    browser = page()
    assert gains(browser) == [-0.2, 0.0, 0.1, 0.3]
    put(browser, "#sort", "best")
    assert gains(browser) == [0.3, 0.1, 0.0, -0.2]
    put(browser, "#sort", "prompt")
    assert gains(browser) == [0.1, 0.0, 0.3, -0.2]


def test_sorted_by_prompt_each_has_a_heading_and_its_seeds_in_a_row(page):
    browser = page(seeds=(2, 10, 1))
    put(browser, "#sort", "prompt")
    groups = find(browser, "#grid .group")
    prompts = [find(group, "h3")[0].text for group in groups]
    assert prompts == ["a blue star", "a red circle"]
    for group in groups:
        seeds = [node.text for node in find(group, ".card header")]
        assert seeds == ["seed 1", "seed 2", "seed 10"]
        assert len({card.location["y"] for card in find(group, ".card")}) == 1
    find(browser, "#grid .card")[2].send_keys("j")
    browser.switch_to.active_element.send_keys("\ue007")
    assert find(browser, "#view-title")[0].text == "a red circle"
    assert find(browser, "#view-seed")[0].text == "seed 1"
    browser.switch_to.active_element.send_keys("\ue00c")
    put(browser, "#sort", "worst")
    assert find(browser, "#grid .group") == []
    assert len(find(browser, "#grid > .card")) == 6


def test_filters_filter(page):
    browser = page()
    put(browser, "#text", "CIRCLE red")
    assert [node.text for node in find(browser, "#grid h3")] == ["a red circle"] * 2
    assert find(browser, "#count")[0].text == "2 of 4"
    put(browser, "#verdict", "fixed")
    assert gains(browser) == [0.3]
    put(browser, "#text", "no such words")
    assert find(browser, "#grid .card") == []
    assert find(browser, "#more")[0].text == "No picture fits."


def test_the_method_decides_what_is_sorted_and_filtered(page):
    browser = page()
    put(browser, "#verdict", "wrong")
    assert len(find(browser, "#grid .card")) == 2
    put(browser, "#method", "1")
    assert find(browser, "#grid .card") == []


def test_a_closer_look_has_the_command_and_goes_on_by_keyboard(page):
    browser = page()
    prompt, seed = find(browser, "#grid .card header")[0].text.split("\n")
    find(browser, "#grid .card")[0].send_keys("\ue007")  # enter
    assert find(browser, "#view")[0].get_attribute("open") is not None
    assert find(browser, "#view-title")[0].text == prompt
    assert find(browser, "#view-seed")[0].text == seed
    first = find(browser, "#view-title")[0].text, find(browser, "#view-seed")[0].text
    assert "doodl fit --data.prompts" in find(browser, "#view code")[0].text
    browser.switch_to.active_element.send_keys("\ue014")
    second = find(browser, "#view-title")[0].text, find(browser, "#view-seed")[0].text
    assert first != second
    browser.switch_to.active_element.send_keys("\ue00c")  # escape
    assert find(browser, "#view")[0].get_attribute("open") is None


def test_the_command_has_the_configuration_where_the_page_is_opened(
    browser, results, run, tmp_path
):
    folder = results("it's a café", prompts=("one $& prompt",))
    (folder / "config.yaml").write_text("")
    run("report", folder)
    page = (folder / "report" / "index.html").read_text()
    assert str(tmp_path) not in page  # no path of the maker's machine
    moved = folder.rename(tmp_path / "moved it's $&")
    browser.get((moved / "report" / "index.html").as_uri())
    find(browser, "#grid .open")[0].click()
    words = shlex.split(find(browser, "#view code")[0].text)
    assert words[:3] == ["doodl", "fit", "--config"]
    assert words[3] == str(moved / "config.yaml")
    assert words[5] == '["one $& prompt"]'


def test_the_scrubber_begins_at_the_chosen_update_and_shows_each(page):
    frames = [torch.full((3, 8, 8), 60 * u, dtype=torch.uint8) for u in range(4)]
    browser = page(films=frames)
    put(browser, "#sort", "best")
    find(browser, "#grid .card")[0].send_keys("\ue007")
    (slider, *_), (cell, *_) = find(browser, ".scrub input"), find(browser, ".cell")
    words = find(browser, ".scrub output")[0]
    assert not cell.is_displayed()  # the result, until a hand moves the scrubber
    assert words.text == "update 3 of 3, the chosen one · guide 1.100 · judge 0.800"
    seen = []
    for _ in range(3):
        slider.send_keys("\ue012")
        seen.append(words.text.partition(" ·")[0])
    assert seen == [f"update {u} of 3" for u in (2, 1, 0)]
    assert cell.is_displayed()
    assert cell.value_of_css_property("background-position") == "0% 0%"
    assert "guide 0.200" in words.text
    slider.send_keys("\ue014")
    assert cell.value_of_css_property("background-position") == "100% 0%"
    find(browser, "#view .pair input")[0].send_keys("\ue014")
    assert not cell.is_displayed()
    assert words.text.startswith("update 3 of 3, the chosen one")  # as the picture is
    browser.switch_to.active_element.send_keys("\ue00c")
    put(browser, "#sort", "worst")  # each update has lowered the guide's score
    find(browser, "#grid .card")[0].send_keys("\ue007")
    words = find(browser, ".scrub output")[0]
    assert words.text.startswith("update 0 of 3, the chosen one · guide 0.200")


def test_a_change_that_rounds_to_zero_has_no_sign_and_no_colour(page):
    browser = page(judge_first=0.5004, judge_best=0.5)
    changes = find(browser, "#grid .numbers")
    assert {change.text for change in changes} == {"judge 0.500 → 0.500 0.000"}
    assert find(browser, "#grid .up, #grid .down") == []


def test_a_phone_has_two_pictures_side_by_side_and_no_broken_figure(
    page, results, run, tmp_path
):
    browser = page(("a red circle",))
    folders = [results(name, seeds=(0,)) for name in "abc"]
    run("report", *folders, "--output", tmp_path / "three")
    size = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((tmp_path / "three" / "index.html").as_uri())
    assert all(pair.size["width"] > 150 for pair in find(browser, "#grid .pair"))
    parts = find(browser, "#grid .numbers span")
    assert all(part.size["height"] < 20 for part in parts)  # one line
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_the_labels_of_the_bar_stand_at_one_height(page, width):
    browser = page()
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    labels = find(browser, ".bar label")
    places = {}
    for label in labels:
        places.setdefault(label.rect["y"] + label.rect["height"], set()).add(
            label.rect["y"]
        )
    assert all(len(tops) == 1 for tops in places.values())
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_prompt_with_markup_is_text(page):
    browser = page((EVIL, "a blue star"))
    assert browser.title == "doodl and one_step – doodl report"
    shown = {node.get_attribute("textContent") for node in find(browser, "#grid h3")}
    assert EVIL in shown
    assert find(browser, "img[src='x']") == []
    find(browser, "#grid .card")[0].send_keys("\ue007")
    assert browser.title == "doodl and one_step – doodl report"


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(page, width):
    browser = page(("a very long prompt " * 20, "unbroken" * 40))
    browser.set_window_size(width, 900)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page_width = "return document.documentElement.scrollWidth"
    assert browser.execute_script(page_width) <= width
    find(browser, "#grid .open")[0].click()
    assert browser.execute_script(page_width) <= width
    dialog = "return document.querySelector('dialog').scrollWidth"
    assert browser.execute_script(dialog) <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("prompts", [2, 500])
def test_two_thousand_generations_open_in_two_seconds_of_script(page, prompts):
    browser = page([f"prompt number {i}" for i in range(2)], seeds=[0])
    text = find(browser, "#data")[0].get_attribute("textContent")
    data = json.loads(text)
    data["entries"] = [
        entry | {"seed": str(seed), "prompt": f"prompt number {number}"}
        for number in range(prompts)
        for seed, entry in zip(
            range(2000 // prompts), itertools.cycle(data["entries"]), strict=False
        )
    ]
    path = Path(browser.current_url.removeprefix("file://"))
    many = json.dumps(data).replace("<", "\\u003c")
    pattern = re.compile(r'(<script type="application/json" id="data">).*?(</script>)')
    path.write_text(
        pattern.sub(lambda m: m[1] + many + m[2], path.read_text(), count=1)
    )
    browser.execute_cdp_cmd("Performance.enable", {})
    browser.refresh()
    assert find(browser, "#count")[0].text == "2000 of 2000"
    for sort in ("worst", "prompt"):
        put(browser, "#sort", sort)
        assert len(find(browser, "#grid .card")) < 500  # the others as one scrolls
    assert len(find(browser, "#grid .group")) > 0
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    seconds = {metric["name"]: metric["value"] for metric in metrics}
    assert seconds["ScriptDuration"] < 2
    browser.execute_cdp_cmd("Performance.disable", {})


def test_answers_of_the_rating_sheet_are_counted(sheet, run, tmp_path):
    browser = sheet()
    source = browser.page_source
    assert "one_step" not in source
    given = {path.name for path in (tmp_path / "report" / "sheet").rglob("*.*")}
    assert "index.html" in given
    assert {name for name in given if not name.endswith(".png")} == {"index.html"}
    assert "doodl" not in source
    body = find(browser, "body")[0]
    for key in ("\ue012", "\ue014", " ", "\ue012"):
        body.send_keys(key)
    href = find(browser, "#export")[0].get_attribute("href")
    content = browser.execute_script(
        "return decodeURIComponent(arguments[0].split(',').slice(1).join(','))", href
    )
    assert sorted(json.loads(content)["answers"].values()) == [
        *("left", "left"),
        *("right", "same"),
    ]
    (tmp_path / "answers.json").write_text(content)
    key = tmp_path / "report" / "sheet_key.json"
    printed = run("test", "--ratings", tmp_path / "answers.json", "--sheet", key)
    counts = re.search(r"(\d) / (\d) / (\d)", printed).groups()
    assert sum(map(int, counts)) == 4
    assert counts[1] == "1"


@pytest.fixture
def sheet(page, tmp_path):
    """Opens the rating sheet of two methods."""

    def open_(*arguments, **settings):
        browser = page(*arguments, **settings)
        browser.get((tmp_path / "report" / "sheet" / "index.html").as_uri())
        browser.execute_script("localStorage.clear()")  # answers of other tests
        browser.refresh()
        return browser

    return open_


def place(browser):
    return find(browser, "#place")[0].text


def test_a_focused_button_of_the_sheet_does_what_it_says(sheet):
    browser = sheet()
    find(browser, "body")[0].send_keys("\ue012", "\ue012")
    assert place(browser) == "3 of 4, 2 answered"
    focus = "document.getElementById(arguments[0]).focus()"
    browser.execute_script(focus, "back")
    browser.switch_to.active_element.send_keys(" ")
    assert place(browser) == "2 of 4, 2 answered"
    browser.execute_script(focus, "export")
    browser.switch_to.active_element.send_keys(" ")
    assert place(browser) == "2 of 4, 2 answered"
    find(browser, "#back")[0].click()
    find(browser, "[data-choice=right]")[0].click()  # by hand, then by keyboard
    browser.switch_to.active_element.send_keys(" ")
    content = find(browser, "#export")[0].get_attribute("href")
    assert re.findall("left|right|same", content) == ["right", "same"]


def test_a_key_that_is_held_down_answers_once(sheet):
    browser = sheet()
    held = "document.body.dispatchEvent(new KeyboardEvent('keydown', "
    held += "{key: 'ArrowLeft', bubbles: true, repeat: arguments[0]}))"
    for repeat in (False, True, True):
        browser.execute_script(held, repeat)
    assert place(browser) == "2 of 4, 1 answered"


def test_answers_to_other_pictures_are_not_taken(sheet, results, run, tmp_path):
    browser = sheet()
    find(browser, "body")[0].send_keys("\ue012")
    browser.refresh()
    assert place(browser) == "2 of 4, 1 answered"
    for path in tmp_path.glob("doodl/*/best.png"):
        save(torch.rand(3, 8, 8), path)
    run(
        "report",
        tmp_path / "doodl",
        tmp_path / "one_step",
        "--output",
        tmp_path / "report",
    )
    browser.refresh()
    assert place(browser) == "1 of 4, 0 answered"


def test_the_end_of_the_sheet_says_what_to_do(sheet):
    browser = sheet()
    done = find(browser, "#done")[0]
    for _ in range(4):
        assert not done.is_displayed()
        find(browser, "body")[0].send_keys("\ue014")
    assert "Export the answers" in done.text
    assert find(browser, "a button, button a") == []


@pytest.mark.parametrize("size", [(1280, 720), (390, 660)])
def test_all_of_a_question_is_in_the_window(sheet, size):
    browser = sheet(("a red circle above a blue star " * 12, "a blue star"))
    screen = dict(zip(("width", "height"), size, strict=True))
    screen |= {"deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    for _ in range(5):
        for node in find(browser, ".two button, .choices > *"):
            assert node.rect["y"] + node.rect["height"] <= size[1]
            assert node.rect["x"] + node.rect["width"] <= size[0]
        assert find(browser, ".two img")[0].size["height"] > 100
        find(browser, "body")[0].send_keys(" ")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_small_pictures_show_their_pixels(sheet):
    browser = sheet()
    shown = {i.value_of_css_property("image-rendering") for i in find(browser, "img")}
    assert "pixelated" in shown
    assert find(browser, "#left.tiny")
    assert not find(browser, "#given")[0].is_displayed()


def test_raters_see_the_picture_that_was_given(sheet, tmp_path):
    save(torch.rand(3, 8, 8), tmp_path / "thing.png")
    browser = sheet(image=str(tmp_path / "thing.png"))
    (given,) = find(browser, "#given img")
    assert given.is_displayed()
    assert given.get_attribute("naturalWidth") == "8"
    name = given.get_attribute("src").rpartition("/")[2]
    copy = tmp_path / "report" / "sheet" / "pictures" / name
    assert torch.equal(load(copy), load(tmp_path / "thing.png"))
    assert "thing" not in browser.page_source
    assert "the text and the given picture" in find(browser, "#ask")[0].text
    browser.get((tmp_path / "report" / "index.html").as_uri())
    find(browser, "#grid .open")[0].click()
    (given,) = find(browser, "#view-given img")
    assert given.get_attribute("naturalWidth") == "8"


# Without a browser ------------------------------------------------------------------


@pytest.fixture
def written(results, run, tmp_path):
    """Writes the report of one method a gain; returns the page's text."""

    def write(**gains):
        folders = [results(name, gains=(gain,)) for name, gain in gains.items()]
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
    ("figures", "shown"),
    [
        ("−0.000 [−0.001, +0.000]", "0.000 [−0.001, 0.000]"),
        ("+0.0 [−0.0, +0.1]", "0.0 [0.0, +0.1]"),
        ("+0.053 [+0.007, +10.0]", "+0.053 [+0.007, +10.0]"),
    ],
)
def test_a_zero_has_no_sign(figures, shown):
    figures = figures.replace("−", "\N{MINUS SIGN}")
    assert zeros(figures) == shown.replace("−", "\N{MINUS SIGN}")


def test_the_tab_names_the_methods(written):
    assert "<title>a, b and 2 more – doodl report<" in written(a=0, b=1, c=0, d=0)


def test_a_prompt_cannot_leave_its_place_in_the_page(results, run, tmp_path):
    run("report", results(prompts=(EVIL,)), "--output", tmp_path / "report")
    html = (tmp_path / "report" / "index.html").read_text()
    assert html.count("<script") == html.count("</script>") == 2
    assert "<img" not in html
    assert html.count("7*7") == html.count("{{ 7*7 }}") > 0


def test_one_method_has_a_page_without_a_rating_sheet(results, run, tmp_path):
    folder = results()
    assert "index.html" in run("report", folder)
    assert not (folder / "report" / "sheet").exists()
    page = (folder / "report" / "index.html").read_text()
    assert page.count("<svg") == 2
    assert "<h1>doodl raises the judge&#39;s score</h1>" in page


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


def test_raters_are_not_told_the_methods_by_the_texts_of_pictures(
    results, run, tmp_path
):
    folders = [results(name, seeds=(0,)) for name in ("doodl", "one_step")]
    for folder in folders:
        for path in folder.glob("*/best.png"):
            save(load(path), path, {"Sampler": folder.name})
    place = tmp_path / "report" / "sheet" / "pictures"
    save(torch.rand(3, 8, 8), place / "0123456789abcdef.png", {"Sampler": "old"})
    run("report", *folders, "--output", tmp_path / "report")
    copies = list(place.iterdir())
    assert len(copies) == 1  # both methods have the same pixels
    with Image.open(copies[0]) as copy:
        assert copy.text == {}
    assert torch.equal(load(copies[0]), load(next(folders[0].glob("*/best.png"))))


@pytest.mark.parametrize("content", [b"no picture", None])
def test_a_given_picture_that_is_no_longer_the_same_is_not_shown(
    results, run, tmp_path, content
):
    thing = tmp_path / "thing.png"
    save(torch.rand(3, 8, 8), thing)
    given = {"image": str(thing), "image_digest": "0" * 16}
    folders = [results(name, seeds=(0,), **given) for name in ("a", "b")]
    if content:
        thing.write_bytes(content)
    run("report", *folders, "--output", tmp_path / "report")
    page = (tmp_path / "report" / "sheet" / "index.html").read_text()
    assert page.count('"given": null') == 2


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
