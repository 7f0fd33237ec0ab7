"""The report in a browser: it slides, filters and sorts, and prompts do nothing."""

import itertools
import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from browser import find, put

HIT = "document.title='hit'"
EVIL = f'<img src=x onerror="{HIT}"></script><script>{HIT}</script> {{{{ 7*7 }}}} \'&"'


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


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
