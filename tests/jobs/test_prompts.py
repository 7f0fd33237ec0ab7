import json

import pytest

from doodl.jobs.prompts import Row, read_prompts


@pytest.fixture
def file(tmp_path):
    """Write a file, of text or of bytes, and return its path."""

    def write(name, content):
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
        return path

    return write


ROWS = [Row("a cat", seed=3, class_name="281"), Row("a dog, asleep", id="d")]

CSV = 'prompt,seed,class,id\na cat,3,281,\n"a dog, asleep",,,d\n'

JSONL = """
{"prompt": "a cat", "seed": 3, "class": 281}

{"prompt": "a dog, asleep", "id": "d", "image": null}
"""

DRAWBENCH = """Prompts,Category
A red colored car.,Colors
"A donkey and an octopus, playing a game.",Conflicting
Rainbow coloured penguin.,DALL-E
A red colored car.,Reddit
"""


@pytest.mark.parametrize(("name", "text"), [("a.csv", CSV), ("a.jsonl", JSONL)])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_layouts_marks_and_line_ends_read_the_same(file, name, text, bom, end):
    path = file(name, bom + text.replace("\n", end).encode())
    assert read_prompts(path) == ROWS


@pytest.mark.parametrize("name", ["a.txt", "a", "a.TXT"])
def test_a_text_file_has_a_prompt_a_line(file, name):
    text = "\ufeffa cat\r\n\r\n  \n a dog, asleep \n\u5fc3\u2028 # 1"
    rows = read_prompts(file(name, text))
    assert [r.prompt for r in rows] == ["a cat", "a dog, asleep", "\u5fc3\u2028 # 1"]
    assert [r.line for r in rows] == [1, 4, 5]


def test_every_column_arrives(file):
    values = {"prompt": "a", "negative_prompt": "b", "guide_prompt": "c"}
    values |= {"image": "e.png", "seed": 2**63 - 1, "id": "f"}
    row = Row(**values, class_name="d")
    values["class"] = "d"
    table = ",".join(values) + "\n" + ",".join(map(str, values.values()))
    assert read_prompts(file("a.csv", table)) == [row]
    assert read_prompts(file("a.jsonl", json.dumps(values))) == [row]


def test_an_empty_negative_prompt_can_be_meant(file):
    path = file("a.jsonl", '{"prompt": "a", "negative_prompt": ""}')
    assert read_prompts(path)[0].negative_prompt == ""
    path = file("a.csv", "prompt,negative_prompt\na,\n")
    assert read_prompts(path)[0].negative_prompt is None


def test_blank_rows_are_passed_over_and_lines_are_counted_on(file):
    path = file("a.csv", '\nprompt,seed\n\n,\n"a\ncat",\nb,1\n')
    assert [(r.prompt, r.line) for r in read_prompts(path)] == [("a\ncat", 5), ("b", 7)]


def test_a_prompt_may_return_with_another_seed(file):
    path = file("a.csv", "prompt,seed\na,0\na,1\n")
    assert [r.seed for r in read_prompts(path)] == [0, 1]


def test_drawbench_is_read_as_published_each_prompt_once(file):
    rows = read_prompts(file("DrawBench.csv", DRAWBENCH))
    assert [(r.category, r.line) for r in rows] == [
        ("Colors", 2),
        ("Conflicting", 3),
        ("DALL-E", 4),
    ]


def test_categories_select_in_the_order_of_the_file(file):
    rows = read_prompts(file("DrawBench.csv", DRAWBENCH), ["Reddit", "DALL-E"])
    assert [r.prompt for r in rows] == [
        "Rainbow coloured penguin.",
        "A red colored car.",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"a\nb\nh\xe4uschen\n", "line 3: expected text in UTF-8"),
        (
            "a.txt",
            "a cat\n".encode("utf-16"),
            "received another encoding; save it as UTF-8",
        ),
        ("a.txt", "a\nb".encode("utf-16-le"), "line 1: expected text in UTF-8"),
        ("a.txt", "", "at least one prompt, received none"),
        ("a.csv", "\n\n", "at least one prompt, received none"),
        ("a.csv", "prompt,seed\n", "at least one prompt, received none"),
        ("a.txt", "a cat\n\nb\n a cat", "line 4: .*received 'a cat' as in line 1"),
        ("a.csv", "prompt,id\na,x\nb,x", "line 3: expected a different id.*line 2"),
        ("a.csv", "prompt,id\na,x\na,y", "line 3: expected a different prompt"),
        ("a.csv", "prompt,sede\na,1", "line 1: expected 'prompt' and.*received 'sede'"),
        ("a.csv", "prompt,prompt\na,b", "line 1: .*received 'prompt' twice"),
        ("a.csv", "id,seed\na,1", "line 1: expected 'prompt'.*received id, seed"),
        ("a.csv", "Prompts,prompt\na,b", "line 1: expected 'Prompts'"),
        ("a.csv", "prompt,id\na, red,cat", "line 2: expected 2 cells.*received 3"),
        ("a.csv", "prompt,id\na", "line 2: expected 2 cells.*received 1: a"),
        ("a.csv", 'prompt\nb\n"a\n', "line 3: expected cells divided by commas"),
        (
            "a.csv",
            "prompt;seed\na;1",
            "divided by commas, received 'prompt;seed'; save",
        ),
        ("a.csv", "prompt\tid\na\t1", "columns divided by commas"),
        (
            "a.csv",
            "prompt\n" + "a" * 200_000,
            "with every quote closed, received field",
        ),
        ("a.csv", "prompt,id\nb,1\n ,x", "line 3: expected a prompt with at least"),
        ("a.csv", "prompt,seed\na,-1", "line 2: expected a seed from.*received -1"),
        ("a.csv", "prompt,seed\na,1.0", "line 2: expected a seed from.*received 1.0"),
        ("a.csv", f"prompt,seed\na,{2**63}", "line 2: expected a seed from"),
        ("a.csv", f"prompt,seed\na,{'1' * 9999}", "line 2: expected a seed from"),
        ("a.jsonl", '{"prompt": "a"}\n{', "line 2: expected an object like"),
        ("a.jsonl", '"a cat"', "line 1: expected an object like"),
        ("a.jsonl", "[" * 100_000, "line 1: expected an object like"),
        ("a.jsonl", '{"prompt": "a", "x": 1}', "line 1: .*received 'x'"),
        ("a.jsonl", '{"prompt": "a", "prompt": "b"}', "line 1: .*'prompt' twice"),
        ("a.jsonl", "{}", "line 1: expected 'prompt'.*received nothing"),
        ("a.jsonl", '{"prompt": 3}', "line 1: expected a text for 'prompt'"),
        ("a.jsonl", '{"prompt": null}', "line 1: expected a prompt"),
        ("a.jsonl", '{"prompt": "\\ud800"}', "line 1: expected characters"),
        ("a.jsonl", '{"prompt": "a", "seed": true}', "line 1: expected a seed"),
        ("a.jsonl", '{"prompt": "a", "seed": "1"}', "line 1: expected a seed"),
        ("a.jsonl", '{"prompt": "a", "class": true}', "a text for 'class'"),
        ("a.parquet", "a", "ending in .txt, .csv or .jsonl"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(file, name, content, message):
    path = file(name, content)
    with pytest.raises(ValueError, match=message) as error:
        read_prompts(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 250


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DRAWBENCH, r"\(Colors, Conflicting, DALL-E, Reddit\), received 'Colours'"),
        ("prompt\na\n", r"\(it has none\), received 'Colours'"),
    ],
)
def test_a_category_that_no_row_has_is_refused(file, text, message):
    with pytest.raises(ValueError, match=message):
        read_prompts(file("a.csv", text), ["Colours"])


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    (tmp_path / "b.txt").mkdir()
    for name, found in (("a.txt", "there is none"), ("b.txt", "found a folder")):
        with pytest.raises(ValueError, match=f"{name}'[;,] {found}"):
            read_prompts(tmp_path / name)
