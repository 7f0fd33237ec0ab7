"""Prints how the source is written, as a row of a Markdown table.

    python benchmarks/style.py [FOLDER ...] [--name ours] [--without shapes]

The shares of docstrings and comments are shares of lines. A function's length counts
its lines without the docstring. The code is not run.
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "src" / "doodl", ROOT / "callbacks")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class File:
    """Measures of one file.

    Attributes:
        lines: number of lines.
        docstrings: number of lines in docstrings.
        comments: number of lines with a comment.
        functions: length of each function by its name.
        arguments: number of arguments, without `self` and `cls`.
        unannotated: names of functions with an unannotated argument or result.
        annotated: number of annotated arguments.
        raises: number of statements that raise a new exception.
        silent: line numbers of those that give it no message.
    """

    path: Path
    lines: int = 0
    docstrings: int = 0
    comments: int = 0
    functions: dict[str, int] = field(default_factory=dict)
    arguments: int = 0
    annotated: int = 0
    unannotated: list[str] = field(default_factory=list)
    raises: int = 0
    silent: list[int] = field(default_factory=list)


def measure(path: Path) -> File:
    """Return the measures of a file."""
    text = path.read_text(encoding="utf-8")
    tree, found = ast.parse(text), File(path, lines=len(text.splitlines()))
    found.comments = sum(
        token.type == tokenize.COMMENT
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | Function):
            found.docstrings += _docstring_lines(node)
        if isinstance(node, Function):
            _measure_function(node, found)
        if isinstance(node, ast.Raise) and node.exc is not None:
            _measure_raise(node, found)
    return found


def _measure_function(node: Function, found: File) -> None:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    found.functions[node.name] = max(
        length - _docstring_lines(node), found.functions.get(node.name, 0)
    )
    arguments = [
        argument
        for argument in _arguments(node.args)
        if argument.arg not in ("self", "cls")
    ]
    annotated = [a for a in arguments if a.annotation is not None]
    found.arguments += len(arguments)
    found.annotated += len(annotated)
    if len(annotated) < len(arguments) or node.returns is None:
        found.unannotated.append(node.name)


def _measure_raise(node: ast.Raise, found: File) -> None:
    """Count a raised error; other exceptions only steer, as `SIGTERMException`."""
    raised = node.exc
    bare = isinstance(raised, ast.Name) and raised.id.endswith("Error")
    empty = isinstance(raised, ast.Call) and not (raised.args or raised.keywords)
    found.raises += 1
    if bare or empty:
        found.silent.append(node.lineno)


def _arguments(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (a for a in (arguments.vararg, arguments.kwarg) if a is not None)


def _docstring_lines(node: ast.Module | ast.ClassDef | Function) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def row(name: str, files: list[File]) -> str:
    """Return the measures of all files as a row of a Markdown table."""
    lines = [file.lines for file in files]
    lengths = [length for file in files for length in file.functions.values()]
    total, raises = sum(lines), sum(file.raises for file in files)
    arguments = sum(file.arguments for file in files)
    annotated = sum(file.annotated for file in files)
    silent = sum(len(file.silent) for file in files)
    p90 = statistics.quantiles(lengths, n=10)[-1]
    cells = (
        name,
        f"{statistics.median(lines):.0f} / {max(lines)}",
        f"{statistics.median(lengths):.0f} / {p90:.0f} / {max(lengths)}",
        f"{sum(file.docstrings for file in files) / total:.1%}",
        f"{sum(file.comments for file in files) / total:.1%}",
        f"{annotated / max(arguments, 1):.0%}",
        f"{1 - silent / max(raises, 1):.0%}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure the folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, default=FOLDERS)
    parser.add_argument("--name", default="ours")
    parser.add_argument("--without", nargs="*", default=["shapes"])
    known = parser.parse_args()
    files = [
        measure(path)
        for folder in known.folders
        for path in sorted(folder.rglob("*.py"))
        if not set(known.without) & set(path.relative_to(folder).parts)
    ]
    print(
        "| package | file median / max lines | function median / p90 / max lines | "
        "docstring | comment | arguments annotated | raises with a message |"
    )
    print(f"|{'---|' * 7}")
    print(row(known.name, files))


if __name__ == "__main__":
    main()
