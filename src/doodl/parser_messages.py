"""Translates messages of jsonargparse into sentences.

Each sentence names the key, the expected and the received value, and the nearest key.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Iterator

TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "NoneType": "null",
    "list": "a list",
    "Sequence": "a list",
    "dict": "'key: value' settings",
}
"""Names of Python's types in error messages."""

UNKNOWN = (
    re.compile(r"unrecognized arguments: (?P<key>-\S+)"),
    re.compile(r"does not accept (?:option|nested key) '(?P<key>[^']+)'"),
    re.compile(r"Key '(?P<key>[^']+)' (?:is not expected|does not exist)"),
    re.compile(r"Option '(?P<key>[^']+)' is not accepted"),
    re.compile(r"ambiguous option: (?P<key>\S+)"),
    re.compile(r"No action for (?:key|destination key) \"(?P<key>[^\"]+)\""),
)
"""Messages of jsonargparse and argparse about an unknown key."""


def sentence(message: str, parser: argparse.ArgumentParser) -> str:
    """Return the sentence for an error message of jsonargparse or argparse.

    Args:
        message: the error message.
        parser: the parser that reports it; its keys are candidates for "did you mean".
    """
    message = re.sub(r'Parser key "([^"]+)":?', r"--\1:", " ".join(message.split()))
    message = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", message)
    for pattern in UNKNOWN:
        if found := pattern.search(message):
            return unknown(found["key"].partition("=")[0], keys_of(parser))
    key, colon, rest = message.partition(": ")
    if not (colon and key.startswith("--")):
        return _without_objects(message)
    return _class_path(key, rest) or _value(key, rest) or _without_objects(message)


def unknown(key: str, known: Iterable[str]) -> str:
    """Return the sentence for an unknown key, with the nearest known one."""
    option, key = key.startswith("-"), key.strip("-")
    shown = f"--{key}" if option or "." in key else f"'{key}'"
    return (
        f"Expected a setting that exists, received {shown}; "
        f"{nearest(key, known) or '`doodl fit --help` lists them all.'}"
    )


def nearest(key: str, known: Iterable[str]) -> str:
    """Return "did you mean --X?" with the most similar key, or an empty text."""
    known = sorted(set(known))
    last = key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == last]
    close = same or difflib.get_close_matches(key, known, 1, 0.6)
    if not close:
        tails = {name.rpartition(".")[2]: name for name in known}
        close = [tails[t] for t in difflib.get_close_matches(last, tails, 1, 0.75)]
    return f"did you mean --{close[0]}?" if close else ""


def keys_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return all keys of a parser and of its subcommands."""
    found = set()
    for each in _parsers(parser):
        names = each._option_string_actions  # argparse has no public list
        found |= {n[2:].rstrip("+") for n in names if n.startswith("--")}
    return {key for key in found if key}


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        choices = getattr(action, "choices", None)
        if isinstance(choices, dict):
            yield from (p for p in choices.values() if hasattr(p, "_actions"))


def _class_path(key: str, rest: str) -> str | None:
    """Return the sentence for a value that should name a class."""
    found = re.search(r"Problem with given class_path '([^']*)': (.*?)(?: - |$)", rest)
    if found:
        return _not_imported(key, *found.groups())
    if "Unable to load config" in rest:
        given = re.search(r"config ['\"](.*?)['\"]", rest)
        return (
            f"Expected 'setting: value' pairs or a file of them for {key}, received "
            f"'{given[1] if given else ''}'; `doodl fit --help` lists the settings."
        )
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
    kind = re.search(r"(?:protocol|subclass of)\s+([\w.]+)", rest)
    if kind:
        path = re.search(r"Expected a path but (\S+) either", rest)
        value = path[1] if path else _given(rest)
        name = kind[1].rpartition(".")[2] or "class"
        advice = (
            f"give another class, or wrap a function or module: {key} "
            f"doodl.guides.Function {key}.function {value}."
            if name == "Guide"
            else "give another class."
        )
        return f"Expected a {name} for {key}, received '{value}'; {advice}"
    if "dot import path" in rest:
        return (
            f"Expected a class for {key} as MODULE.CLASS, received "
            f"'{_given(rest) or rest.rpartition(': ')[2]}'."
        )
    return None


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
            f"Expected 'setting: value' pairs as init_args of {key}, received a text "
            "that is none."
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


def _value(key: str, rest: str) -> str | None:
    """Return the sentence for a value of the wrong type."""
    union = re.search(r"Union subtypes:? Subtypes: \[(.*?)\] Errors", rest)
    rest = re.sub(
        r"- Expected a path but .*? either not accessible or invalid ?", "", rest
    )
    single = re.search(r"Expected an? (\S.*?)\.? (?:Got|Given) value", rest)
    each = re.search(r"Expected an? ([\w.]+)", rest)
    if union:
        kinds = _split(union[1])
        closed = [k for k in kinds if "Literal[" in k]
        others = [k for k in kinds if k not in closed]
        merged = [f"Literal[{', '.join(map(_choices, closed))}]"] if closed else []
        expected = " or ".join(dict.fromkeys(map(_name, [*merged, *others])))
    elif single or (each and each[1] != "path"):
        expected = _name((single or each)[1])  # type: ignore[index]
    else:
        return None
    value = _without_objects(_given(rest))
    return f"Expected {expected} for {key}, received {value or 'nothing'}."


def _given(rest: str) -> str:
    found = re.search(r".*(?:Got|Given) value: (.*)$", rest)
    return found[1].strip() if found else ""


def _split(types: str) -> list[str]:
    """Split a list of types at its outer commas."""
    parts = re.findall(r"(?:[^,\[]|\[(?:[^\[\]]|\[[^\]]*\])*\])+", types)
    return [part.strip() for part in parts if part.strip()]


def _choices(kind: str) -> str:
    """Return the choices of a Literal as written between its brackets."""
    return kind.partition("[")[2].rstrip("].")


def _name(kind: str) -> str:
    """Return a readable name of a type."""
    if "Literal[" in kind:
        choices = [choice.strip(" '") for choice in _choices(kind).split(",")]
        return f"one of {', '.join(dict.fromkeys(choices))}"
    kind = kind.rstrip(".")
    head, _, inner = kind.partition("[")
    head = head.rpartition(".")[2]
    if inner and head == "tuple":
        return f"a list of {inner.count(',') + 1} values"
    if inner and head in ("list", "Sequence", "Iterable"):
        return "a list"
    return TYPES.get(head, f"a {head}")


def _without_objects(text: str) -> str:
    """Replace the parser's Namespace(a=1) by a: 1."""
    while found := re.search(r"Namespace\(([^()]*)\)", text):
        inner = found[1].replace("=", ": ")
        text = f"{text[: found.start()]}{inner}{text[found.end() :]}"
    return text
