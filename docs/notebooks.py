"""Runs the tutorials while the site is built, and offers each of them as a notebook.

A tutorial is Markdown that jupytext reads as a notebook: its blocks of `python` and
`bash` are cells, which run one after another in an empty folder, and their output and
pictures stand below them on the page. Other blocks, such as `shell`, are only shown.
An error of a cell ends the build. EXECUTE_TUTORIALS=false builds pages without output.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbconvert.filters import strip_ansi

SNIPPET = re.compile(r'^--8<-- "([\w/.]+)"$', re.MULTILINE)
HEADER = """---
jupyter:
  kernelspec: {name: python3, display_name: Python 3, language: python}
---
"""
STRICT = {"SHELLOPTS": "errexit:pipefail"}
"""Lets a cell of bash fail with any of its commands."""
SECONDS = 1200
"""That a cell may take."""
_written: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Run every tutorial, and add its notebook and its pictures to the site."""
    root = Path(config.config_file_path).parent
    for page in [f for f in files if f.src_uri.startswith("tutorials/")]:
        if not page.src_uri.endswith(".md"):
            continue
        text = SNIPPET.sub(
            lambda found: (root / found[1]).read_text().rstrip(), page.content_string
        )
        name = Path(page.src_uri).stem
        notebook = nbformat.reads(
            _run(text, config.extra["execute_tutorials"]), as_version=4
        )
        markdown, pictures = _exported(notebook, name)
        link = f"[Download as a notebook]({name}.ipynb){{ download }}"
        _written[page.src_uri] = re.sub(r"\A(# .*)", rf"\1\n\n{link}", markdown)
        made = {f"{name}.ipynb": nbformat.writes(notebook)} | pictures
        for path, content in made.items():
            files.append(File.generated(config, f"tutorials/{path}", content=content))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Return a tutorial with the output of its cells."""
    return _written.get(page.file.src_uri, markdown)


@cache
def _run(text: str, execute: bool) -> str:
    """Return Markdown as a notebook, with the output of its cells if they are run."""
    notebook: Any = jupytext.reads(HEADER + text, fmt="md")
    if execute:
        folder = str(Path(sys.executable).parent)
        path = os.pathsep.join((folder, os.environ.get("PATH", "")))
        with tempfile.TemporaryDirectory() as empty:
            NotebookClient(
                notebook,
                timeout=SECONDS,
                kernel_name="python3",
                coalesce_streams=True,
                extra_arguments=["--log-level=ERROR"],
                resources={"metadata": {"path": empty}},
            ).execute(env={**os.environ, "PATH": path, "COLUMNS": "88", **STRICT})
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [_plain(o) for o in cell.outputs if not _aside(o)]
    return nbformat.writes(notebook)


def _aside(output: Any) -> bool:
    """Return whether an output is a message on standard error."""
    return output.get("name") == "stderr"


def _plain(output: Any) -> Any:
    """Return an output without the colours of a terminal."""
    if "text" in output:
        output["text"] = strip_ansi(output["text"])
    return output


def _exported(notebook: Any, name: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by path."""
    names = {"unique_key": name, "output_files_dir": name}
    markdown, resources = MarkdownExporter().from_notebook_node(notebook, names)
    return markdown.replace("```bash\n%%bash\n", "```bash\n"), resources["outputs"]
