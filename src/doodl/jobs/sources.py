"""The source of a user's own classes and functions, on which results depend too."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from doodl.description import arguments
from doodl.tracebacks import is_users


def sources(values: Iterable[Any]) -> dict[str, str]:
    """Return a digest of the source of every user's class and function, by name.

    It changes with the code, not with comments or the layout of lines. Only the class
    or function itself is read, not what it calls.

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
            code = value if hasattr(value, "__qualname__") else type(value)
            if digest := _digest(code):
                found[f"{code.__module__}.{code.__qualname__}"] = digest
            waiting += arguments(value).values()
    return dict(sorted(found.items()))


def _digest(code: Any) -> str | None:
    """Return a digest of a user's class or function; None if it is none."""
    try:
        if not is_users(inspect.getsourcefile(code) or "<"):
            return None
        text = textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError):  # built in, or typed at a prompt
        return None
    with contextlib.suppress(SyntaxError):  # of a lambda within a call
        text = ast.dump(ast.parse(text))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
