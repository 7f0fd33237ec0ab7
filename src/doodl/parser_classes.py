"""The classes that a command line names: what is wrong with them, in one sentence."""

from __future__ import annotations

import difflib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from jsonargparse import Namespace
from torch.optim import Optimizer

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
"""Kinds of arguments that can be given by name."""

PROTOCOLS = {
    "Adjoint": "doodl.sampling.gradient.Adjoint",
    "Verdict": "doodl.guides.views.Verdict",
}
"""Classes of settings that need not be inherited, by the name in messages."""


def refuse_unset(settings: Any) -> None:
    """Refuse classes of which a required argument is missing.

    jsonargparse itself refuses them, except for arguments without an annotation, which
    it would set to None.

    Args:
        settings: parsed settings, with any nesting.

    Raises:
        ValueError: naming the class and the argument.
    """
    for path, values in _classes(settings):
        made = pkgutil.resolve_name(path)
        required = _required(made)
        if inspect.isclass(made) and issubclass(made, Optimizer):
            required = required[1:]  # the parameters are those of the module
        for name in required:
            if values.get(name) is None:
                raise ValueError(
                    f"Expected a value for '{name}' of {path}, received none; add it "
                    f"to init_args, or give it a default value in the class."
                )


def _classes(settings: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield class path and init_args of every class among settings."""
    if isinstance(settings, list | tuple):
        for value in settings:
            yield from _classes(value)
    if not isinstance(settings, Mapping | Namespace):
        return
    found = dict(settings) if isinstance(settings, Mapping) else vars(settings)
    if isinstance(found.get("class_path"), str):
        given = found.get("init_args") or {}
        yield found["class_path"], given if isinstance(given, dict) else vars(given)
    for value in found.values():
        yield from _classes(value)


def settings_of(path: str) -> list[str]:
    """Return the names of a class's arguments, which is imported already."""
    parameters = inspect.signature(pkgutil.resolve_name(path)).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind in NAMED]


def _required(made: Any) -> list[str]:
    """Return the arguments without annotation and default of a class or function."""
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):  # built in
        return []
    return [
        parameter.name
        for parameter in parameters
        if parameter.kind in NAMED
        and parameter.annotation is parameter.empty
        and parameter.default is parameter.empty
    ]


def class_sentence(key: str, rest: str) -> str | None:
    """Return the sentence for a value that should name a class.

    Args:
        key: the option.
        rest: what jsonargparse says about its value.

    Returns:
        the sentence; None if the message is about something else.
    """
    file = re.search(r"content in sub-config file (\S+\.py):", rest)
    if file:
        return _not_imported(key, file[1], "")
    if re.search(r"argument of type '\w+' is not iterable", rest):
        return f"Expected a class for {key} as MODULE.CLASS, received another value."
    found = re.search(r"Problem with given class_path '([^']*)': (.*?)(?: - |$)", rest)
    if found:
        return _not_imported(key, *found.groups())
    if "Unable to load config" in rest:
        config = re.search(r"config ['\"](.*?)['\"]", rest)
        return (
            f"Expected 'setting: value' pairs or a file of them for {key}, received "
            f"'{config[1] if config else ''}'; `doodl fit --help` lists the settings."
        )
    return _abstract(key, rest) or _other_class(key, rest)


def _abstract(key: str, rest: str) -> str | None:
    """Return the sentence for a class that cannot be constructed."""
    abstract = re.search(r"class, but (\S+) is abstract", rest)
    if abstract and abstract[1].startswith("doodl."):  # settings without a class
        return (
            f"Expected a class for {key} before its settings, received none; name it "
            f"first, as {key} MODULE.CLASS."
        )
    if abstract:
        return (
            f"Expected a class with all methods for {key}, received "
            f"{abstract[1]}, which is abstract; define its abstract methods, or "
            "give another class."
        )
    return None


def _other_class(key: str, rest: str) -> str | None:
    """Return the sentence for what is no class, or one of another kind."""
    kind = re.search(r"(?:protocol|subclass of)\s+([\w.]+)", rest)
    if kind:
        path = re.search(r"Expected a path but (\S+) either", rest)
        value = path[1] if path else given(rest)
        name = kind[1].rpartition(".")[2] or "class"
        advice = (
            f"give another class, or wrap a function or module: {key} "
            f"doodl.guides.Function {key}.function {value}."
            if name == "Guide"
            else _other_methods(kind[1], value) or "give another class."
        )
        article = "an" if name[0] in "AEIOU" else "a"
        return f"Expected {article} {name} for {key}, received '{value}'; {advice}"
    dotted = re.search(r"import path (?:string|format):(?: (?!- )(\S+))?", rest)
    if dotted:
        value = dotted[1] or ""
        name = value.strip("./").replace("/", ".")
        advice = f"; write {key} {name}." if "." in name else "."
        return f"Expected a class for {key} as MODULE.CLASS, received '{value}'{advice}"
    return None


def _other_methods(kind: str, value: str) -> str | None:
    """Return how a method has to be written that a class lacks or writes otherwise.

    jsonargparse compares the annotations of a protocol's methods as well.
    """
    try:
        protocol = pkgutil.resolve_name(PROTOCOLS[kind])
        made = pkgutil.resolve_name(value)
    except (KeyError, ImportError, AttributeError, ValueError):
        return None
    if not inspect.isclass(made):
        return None
    for name, method in vars(protocol).items():
        if inspect.isfunction(method) and (name[:1] != "_" or name == "__call__"):
            wanted, own = _written(method), getattr(made, name, None)
            if own is None or _written(own) != wanted:
                return (
                    f"write its method {name} as `def {name}{wanted}`, with `from "
                    "__future__ import annotations` at the top of its file."
                )
    return (
        "its methods are the right ones; write `from __future__ import annotations` at "
        "the top of its file."
    )


def _written(method: Any) -> str:
    """Return the signature of a method as it is written, without quotes of types."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(method)))


def _not_imported(key: str, path: str, reason: str) -> str:
    """Return the sentence for a class path that leads nowhere."""
    if path.endswith(".py"):
        path = path[:-3].replace("/", ".").strip(".")
        return (
            f"Expected a class for {key} as MODULE.CLASS, received a file; write "
            f"{key} {path}.ClassName, with the class's own name."
        )
    missing = re.search(r"No module named '([^']+)'", reason)
    if missing and not f"{path}.".startswith(f"{missing[1]}."):
        return (
            f"Expected a class for {key}, received '{path}', whose file imports "
            f"'{missing[1]}', which is not installed; install it."
        )
    if "has no attribute 'keys'" in reason:
        return (
            f"Expected 'setting: value' pairs as init_args of {key}, received "
            "something else; leave init_args out, or write them as {size: 3}."
        )
    advice = _similar(path) or (
        "correct the name, or run the command in the folder of its file."
    )
    return (
        f"Expected a class for {key} as MODULE.CLASS, received '{path}': "
        f"{reason.strip().rstrip('.')}; {advice}"
    )


def _similar(path: str) -> str:
    """Return "did you mean X?" for a class of a module that is there."""
    module, _, name = path.rpartition(".")
    names = [n for n in dir(sys.modules.get(module)) if not n.startswith("_")]
    close = [n for n in difflib.get_close_matches(name, names, 1, 0.6) if n != name]
    return f"did you mean {module}.{close[0]}?" if close else ""


def given(rest: str) -> str:
    """Return the value that a message of jsonargparse ends with."""
    found = re.search(r".*(?:Got|Given) value: (.*)$", rest)
    value = found[1].strip() if found else ""
    return re.sub(r"NestedArg\(key='[^']*', val='?(.*?)'?\)$", r"\1", value)
