"""Random prompts files, seeds, configurations, pictures and command lines.

Whatever is read ends with a value or with one sentence of the package, within
seconds. `pytest -m slow` tries 2 000 examples.
"""

import io
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from doodl import cli, configuration, images
from doodl.jobs.checks import check_seeds, parse_seeds
from doodl.jobs.prompts import read_prompts
from doodl.tracebacks import raised_here

FEW, MANY = 40, 2000
ANY = {
    "deadline": 20_000,
    "suppress_health_check": list(HealthCheck),
    "database": None,
    "derandomize": True,
}
WORDS = st.sampled_from(
    ["prompt", "seed", "id", "image", '"', ",", "\n", "{", "}", "[", "]", ":", "a ring"]
    + ["\x00", "\ud800".encode("utf-8", "surrogatepass").decode("latin1"), "\ufeff"]
    + ["null", "-1", "1e999", "9" * 30, "&a", "*a", "<<", "!!python/object:os", "\t"]
    + ["model", "num_steps", "class_path", "- ", "? ", "|", ">", "%", "@", "`", "'"]
)
TEXTS = st.one_of(st.text(), st.lists(WORDS, max_size=30).map("".join))
FILES = st.one_of(
    st.binary(max_size=200),
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
)


def picture():
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, "PNG")
    return file.getvalue()


PNG = picture()
PICTURES = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.integers(0, len(PNG)), st.binary(max_size=8)).map(
        lambda change: PNG[: change[0]] + change[1] + PNG[change[0] + len(change[1]) :]
    ),
    st.integers(0, len(PNG)).map(lambda length: PNG[:length]),
)


def refuses_in_a_sentence(function, *arguments):
    """Call a function; the only exception that it may raise is ours."""
    try:
        function(*arguments)
    except ValueError as error:
        if type(error) is not ValueError or not raised_here(error):
            raise


def fuzz(function, strategy, examples):
    settings(max_examples=examples, **ANY)(given(strategy)(function))()


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def examples(request):
    return request.param


@pytest.mark.parametrize("ending", ["txt", "csv", "jsonl"])
def test_prompts_files(tmp_path, examples, ending):
    path = tmp_path / f"prompts.{ending}"

    def read(content):
        path.write_bytes(content)
        refuses_in_a_sentence(read_prompts, path)

    fuzz(read, FILES, examples)


def test_seeds(examples):
    numbers = st.text("0123456789-, \u0663\n", max_size=30)
    fuzz(
        lambda text: refuses_in_a_sentence(lambda: check_seeds(parse_seeds(text))),
        st.one_of(st.text(), numbers),
        examples,
    )


def test_configurations(tmp_path, examples):
    path = tmp_path / "config.yaml"

    def read(content):
        path.write_bytes(content)
        arguments = ["fit", "--config", str(path)]
        refuses_in_a_sentence(configuration.default_configs, arguments)

    fuzz(read, FILES, examples)


def test_pictures(tmp_path, examples):
    path = tmp_path / "picture.png"

    def read(content):
        path.write_bytes(content)
        refuses_in_a_sentence(images.load, path)

    fuzz(read, PICTURES, examples)


OPTIONS = st.sampled_from(
    ["fit", "predict", "--data.prompts", "--data.seeds", "--config", "--model.guide"]
    + [
        "--model.num_steps",
        "--trainer.devices",
        "--results.folder",
        "=",
        "[",
        "{}",
        "a",
    ]
    + ["-c", "--", "-", "--model", "--data", "null", "['a']", "0-3", "1e400", "~", "\\"]
)


@pytest.mark.parametrize(
    "count",
    [20, pytest.param(400, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_command_lines(shapes, tmp_path, monkeypatch, capsys, count):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("doodl.guided_generation.GuidedGeneration._load", stop)

    def run(words):
        with pytest.raises(SystemExit) as exit_:
            cli.main(["fit", *words, "--data.seeds", "[]"])
        err = capsys.readouterr().err
        assert exit_.value.code == 2, err
        assert "Traceback" not in err
        assert "traceback is in" not in err, err

    texts = st.text(st.characters(blacklist_characters="\x00"), max_size=8)
    fuzz(run, st.lists(st.one_of(OPTIONS, texts), max_size=6), count)


def stop(self):
    raise AssertionError("A job without seeds must not load networks.")
