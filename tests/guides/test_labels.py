import json
from pathlib import Path

import pytest

from doodl.guides.labels import find_class, read_labels

NAMES = ["Red Panda", "heart", "ring"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "Red Panda\nheart\r\n ring \n\n"),
        ("labels.txt", "\ufeffRed Panda\nheart\nring"),
        ("labels.json", json.dumps(NAMES)),
        ("labels.json", json.dumps(dict(enumerate(NAMES)))),
        ("labels.json", json.dumps({name: k for k, name in enumerate(NAMES)})),
    ],
)
def test_every_layout_gives_the_same_labels(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / name) == dict(enumerate(NAMES))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.txt", b"\n\n", "at least one name"),
        ("labels.json", b"[]", "at least one name"),
        ("labels.json", b"{", "label file"),
        ("labels.json", b"[" * 100_000, "label file"),
        ("labels.json", b'"cat"', "holds a str"),
        ("labels.json", b"[1, 2]", "class 0 the name 1"),
        ("labels.json", b'{"a": "b"}', "label file"),
        ("labels.json", b'{"-1": "b"}', "class -1 the name 'b'"),
        ("labels.txt", b"\xff\xfe\x00", "label file"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_labels(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [Path("no/such.txt"), Path()])
def test_a_missing_file_is_refused(path):
    with pytest.raises(ValueError, match="no label file"):
        read_labels(path)


def test_a_class_is_found_by_name_and_by_index():
    names = dict(enumerate([*NAMES, "0"]))
    assert find_class("ring", names) == 2
    assert find_class(1, names) == 1
    assert find_class("2", names) == 2
    assert find_class("0", names) == 3  # a name is stronger than an index
    assert find_class(999, {}) == 999


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("hart", "'hart' among 3 labels; did you mean 'heart'?"),
        ("red pandas", "did you mean 'Red Panda'?"),
        ("zzzz", "the first are 'Red Panda', 'heart', 'ring'."),
        ("", "the first are"),
        (3, "from 0 to 2, the classes of the labels, received 3"),
        ("3", "from 0 to 2, the classes of the labels, received 3"),
        (-1, "from 0 to 2, the classes of the labels, received -1"),
    ],
)
def test_classes_that_are_not_there_are_refused(target, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        find_class(target, dict(enumerate(NAMES)))
    assert message in str(caught.value)


def test_without_labels_only_an_index_is_a_class():
    with pytest.raises(ValueError, match="give a file of labels"):
        find_class("heart", {})
    with pytest.raises(ValueError, match="0 or more, received -2"):
        find_class(-2, {})


def test_a_name_of_two_classes_is_ambiguous():
    with pytest.raises(ValueError, match="'crane' 2 times, as classes 0, 2"):
        find_class("crane", {0: "crane", 1: "ring", 2: "crane"})
