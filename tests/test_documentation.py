"""The documentation: it builds without a warning, and what it shows can be run."""

import html
import json
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from doodl.cli import main
from doodl.evaluation.command import report_parser, test_parser

test_parser.__test__ = False  # its name begins like that of a test

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {p.relative_to(ROOT).as_posix(): p.read_text() for p in DOCS.rglob("*.md")}
PAGES["README.md"] = (ROOT / "README.md").read_text()
TEXT = "\n".join(PAGES.values())
BLOCKS = [
    (name, block)
    for name, text in PAGES.items()
    for block in re.findall(r"```python[^\n]*\n(.*?)```", text, re.DOTALL)
]
TITLED = re.compile(
    r'```(?:{ \.)?(?:python|yaml) title="(\w+\.(?:py|yaml))"[^\n]*\n(.*?)```', re.DOTALL
)
FILES = dict(TITLED.findall(TEXT))
"""Files that a page tells to write, such as `blue.py`."""
INCLUDED = re.compile(r'^--8<-- "(\w+/[\w/]+\.py)"$', re.MULTILINE)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
COMMANDS = re.findall(r"^(?:srun |.*`)?(doodl (?:fit|predict)[^`#|\n]*)", TEXT, re.M)
"""The command lines of code blocks and tables."""


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[n for n, _ in BLOCKS])
def test_every_python_block_is_python(page, block):
    compile(block, page, "exec")


@pytest.mark.parametrize("command", sorted({c.strip() for c in COMMANDS}))
@pytest.mark.usefixtures("shapes")
def test_every_command_is_understood(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("model:\n  num_steps: 10\n")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = [a for a in shlex.split(command)[1:] if a != "--print_config"]
    if not {"--help", "--help-all"} & set(arguments):
        arguments.append("--print_config")
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0, capsys.readouterr().err


OWN = sorted({c.strip() for c in COMMANDS if set(c.split()) & FILES.keys()})
"""The command lines that take a file which their page shows."""


@pytest.mark.parametrize("command", OWN)
@pytest.mark.usefixtures("shapes")
def test_every_command_with_a_file_of_its_page_is_accepted(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    main([*shlex.split(command)[1:], "--dry-run"])
    assert "calls" in capsys.readouterr().out


EVALUATIONS = re.findall(r"^(doodl (?:test|report) [^#|\n]*)", TEXT, re.M)
"""The command lines that compare and show finished results."""


@pytest.mark.parametrize("command", sorted({c.strip() for c in EVALUATIONS}))
def test_every_evaluation_is_understood(command):
    if "FOLDER ..." not in command:
        _, name, *options = shlex.split(command)
        parser = test_parser() if name == "test" else report_parser()
        known = vars(parser.parse_args(options))
        assert known["results"] or known["ratings"]


def test_every_script_that_is_named_exists():
    named = set(re.findall(r"python ((?:benchmarks|examples)/\w+\.py)", TEXT))
    assert len(named) > 8
    assert not [path for path in named if not (ROOT / path).is_file()]


def test_the_readme_has_two_screens_and_its_links_lead_somewhere():
    readme = PAGES["README.md"]
    assert len(readme.splitlines()) < 200
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", readme)
    assert len(links) > 20
    assert not [link for link in links if not (ROOT / link).exists()]


def test_every_page_is_in_the_navigation():
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor("!ENV", lambda *_: None)
    config = yaml.load((ROOT / "mkdocs.yml").read_text(), loader)
    listed = set(re.findall(r"[\w/-]+\.md", json.dumps(config["nav"])))
    assert listed == {name.removeprefix("docs/") for name in PAGES} - {"README.md"}


class Requests(HTMLParser):
    """Addresses that a page loads by itself, links excluded."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        loads = values.get("rel") in ("stylesheet", "preload", "preconnect", "icon")
        if tag in ("script", "img", "iframe") or (tag == "link" and loads):
            self.found.add(values.get("src") or values.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: a warning is an error, unless `--quiet` hides it."""
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    command += ["--site-dir", str(folder)]
    fast = {**os.environ, "EXECUTE_TUTORIALS": "false"}
    done = subprocess.run(
        command, cwd=ROOT, env=fast, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_requests_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        parser = Requests()
        parser.feed(page.read_text())
        assert parser.found, page
        assert not [a for a in parser.found if re.match(r"(https?:)?//", a)], page


def test_scripts_are_shown_where_a_page_includes_them(site):
    included = {name: INCLUDED.findall(text) for name, text in PAGES.items()}
    shown_somewhere = {path for paths in included.values() for path in paths}
    assert {str(p.relative_to(ROOT)) for p in EXAMPLES} <= shown_somewhere
    for name, paths in included.items():
        page = site / name.removeprefix("docs/").replace(".md", ".html")
        for path in paths:
            shown = re.sub(r"<[^>]*>", "", page.read_text())
            (line,) = re.findall(r'^"""(.*)', (ROOT / path).read_text())
            assert line.removesuffix('"""') in html.unescape(shown), (name, path)


def test_the_search_finds_classes_by_name(site):
    index = json.loads((site / "search" / "search_index.json").read_text())
    titles = {re.sub(r"<[^>]*>", "", doc["title"]).split()[-1] for doc in index["docs"]}
    assert {"optimize", "LatentSGD", "CLIPText", "EDICT", "Multicrop"} <= titles


def test_the_search_works_without_a_server(site, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get((site / "index.html").as_uri())
    browser.find_element(By.CSS_SELECTOR, "input.md-search__input").click()
    browser.switch_to.active_element.send_keys("LatentSGD")
    found = "a.md-search-result__link"
    WebDriverWait(browser, 30).until(lambda b: b.find_elements(By.CSS_SELECTOR, found))
    first = browser.find_element(By.CSS_SELECTOR, found).get_attribute("href")
    assert "reference/" in first


def test_the_reference_has_the_public_names(site):
    import doodl
    from doodl import callbacks, guides

    text = "".join(p.read_text() for p in (site / "reference").glob("*.html"))
    names = {*doodl.__all__, *guides.__all__, *callbacks.__all__} - {"__version__"}
    assert not [name for name in names if f"{name}</span>" not in text]
