"""The blind rating sheet in a browser: its keys, its window, and what raters see."""

import json
import re

import pytest
import torch
from PIL import Image

from browser import find
from doodl.images import load, save

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


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
