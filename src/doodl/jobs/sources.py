"""The source of a user's own classes and functions, on which results depend too."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from doodl.description import arguments
from doodl.tracebacks import is_users

CONTAINERS = (list, dict, set)
"""Kinds of variables that may change while a job runs, so that their text counts."""


def sources(values: Iterable[Any]) -> dict[str, str]:
    """Return a digest of the source of every user's class and function, by name.

    It changes with the code, not with comments or the layout of lines. What the code
    names is read as well: classes, functions, modules and constants of the user; and
    what an object has read from a file of settings, its `file_content`.

    Args:
        values: objects, classes and functions; the arguments of their constructors are
            searched as well.
    """
    found: dict[str, str] = {}
    seen: set[int] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen or value is None or isinstance(value, str | int | float):
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, functools.partial):
            waiting += [value.func, *value.args, *value.keywords.values()]
        else:
            code = value if _is_code(value) else type(value)
            if text := _text(code):
                name = _name(code)
                named = _named(code, text)
                waiting += filter(_is_code, named.values())
                constants = {k: v for k, v in named.items() if _is_constant(v)}
                others = [k for k, v in named.items() if isinstance(v, CONTAINERS)]
                written = _assignments(code, others)
                found[name] = _digest("".join([text, repr(constants), *written]))
            waiting += arguments(value).values()
            if content := getattr(value, "__dict__", {}).get("file_content"):
                found[f"{_name(type(value))} reads"] = _digest(str(content))
    return dict(sorted(found.items()))


def _assignments(code: Any, names: Sequence[str]) -> list[str]:
    """Return the syntax of the assignments to variables of a code's module."""
    if not names:
        return []
    try:
        tree = ast.parse(inspect.getsource(sys.modules[code.__module__]))
    except (OSError, TypeError, KeyError, AttributeError):  # typed at a prompt
        return []
    kinds = (ast.Assign, ast.AnnAssign, ast.AugAssign)
    return [
        ast.dump(line)
        for line in tree.body
        if isinstance(line, kinds)
        and any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(line))
    ]


def _is_code(value: Any) -> bool:
    return inspect.ismodule(value) or hasattr(value, "__qualname__")


def _is_constant(value: Any) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return all(isinstance(each, str | int | float) for each in values)


def _name(code: Any) -> str:
    """Return the full name of a module, class or function."""
    within = getattr(code, "__module__", None)
    return f"{within}.{code.__qualname__}" if within else code.__name__


def _text(code: Any) -> str | None:
    """Return a user's module, class or function as its syntax; None if it is none."""
    try:
        if not is_users(inspect.getsourcefile(code) or "<"):
            return None
        text = textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError):  # built in, or typed at a prompt
        return None
    with contextlib.suppress(SyntaxError):  # of a lambda within a call
        text = ast.dump(ast.parse(text))
    return text


def _named(code: Any, text: str) -> dict[str, Any]:
    """Return those of its module's variables that a text names, by name."""
    module = sys.modules.get(getattr(code, "__module__", None) or code.__name__)
    variables = getattr(code, "__globals__", getattr(module, "__dict__", {}))
    names = set(re.findall(r"[^\W\d]\w*", text)) & set(variables)
    for rebound in re.findall(r"Global\(names=\[(.*?)\]", text):  # such as counters
        names -= set(re.findall(r"\w+", rebound))
    return {n: variables[n] for n in sorted(names) if not n.startswith("__")}


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
