"""Translates messages of jsonargparse into sentences.

Each sentence names the key, the expected and the received value, and the nearest key.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator

from doodl.parser_classes import class_sentence, given, settings_of

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

ELEMENTS = {"int": " of whole numbers", "float": " of numbers", "str": " of texts"}
"""What a list has, by Python's type."""

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
    if within := _within_class(message):
        return within
    if found := re.match(r"argument (--[\w.]+): expected one argument", message):
        return (
            f"Expected a value after {found[1]}, received none; one that begins with "
            f"'-' is written {found[1]}=-VALUE."
        )
    for pattern in UNKNOWN:
        if found := pattern.search(message):
            return unknown(found["key"].partition("=")[0], keys_of(parser))
    linked = re.search(r"argument (?:\w+\()?([\w.]+)\)? --> ([\w.]+):", message)
    if linked:
        return (
            f"Expected no --{linked[2]}, which --{linked[1]} sets as well; set "
            f"--{linked[1]} alone."
        )
    key, colon, rest = message.partition(": ")
    if not (colon and key.startswith("--")):
        return _without_objects(message)
    return class_sentence(key, rest) or _value(key, rest) or _without_objects(message)


def _within_class(message: str) -> str | None:
    """Return the sentence for what is wrong with the arguments of a class."""
    called = re.match(r"(--\S+): .*callable class: --([\w.]+): (.*)", message)
    if called:
        inner = called[3].partition(". Got value: ")[0]
        return _value(f"{called[1]}.{called[2]}", inner)
    outer, *parts = re.split(r"Problem with given class_path '([^']*)': ", message)
    if not parts:
        return None
    *_, path, rest = parts
    if found := re.match(r"the following arguments are required: ([\w-]+)", rest):
        key = outer.partition(":")[0]
        direct = outer == f"{key}: " and len(parts) == 2
        advice = f"write {key}.{found[1]} VALUE" if direct else "add it to init_args"
        return f"Expected a value for '{found[1]}' of {path}, received none; {advice}."
    if found := re.match(r"Option '([^']+)' is not accepted", rest):
        known = settings_of(path)
        close = difflib.get_close_matches(found[1], known, 1, 0.6)
        listed = ", ".join(known) or "no settings"
        hint = f"did you mean {close[0]}?" if close else f"it has {listed}."
        return f"Expected a setting of {path}, received '{found[1]}'; {hint}"
    if found := re.match(r"--([\w.]+): ", rest):
        key, rest = f"'{found[1]}' of {path}", rest[found.end() :]
        if re.match(r"Expected an? \S+ Got value: ", rest):
            rest = rest.partition(" - ")[0]  # the rest is about the class
        return class_sentence(key, rest) or _value(key, rest)
    return None


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
    known = sorted(name for name in set(known) if not key.startswith(f"{name}."))
    group, _, last = key.rpartition(".")
    tails = {name.rpartition(".")[2]: name for name in known}
    siblings = {t: name for t, name in tails.items() if name == f"{group}.{t}"}
    close = [name for name in known if name.rpartition(".")[2] == last]
    for names, likeness in ((siblings, 0.6), (tails, 0.75)):
        near = difflib.get_close_matches(last, names, 1, likeness)
        close = close or [names[tail] for tail in near]
    close = close or difflib.get_close_matches(key, known, 1, 0.75)
    return f"did you mean --{close[0]}?" if close else ""


def keys_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return all keys of a parser and of its subcommands."""
    found = set()
    for each in _parsers(parser):
        names = each._option_string_actions  # argparse has no public list
        found |= {n[2:].rstrip("+") for n in names if n.startswith("--")}
    return {key for key in found if key and not key.endswith(".help")}


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        choices = getattr(action, "choices", None)
        if isinstance(choices, dict):
            yield from (p for p in choices.values() if hasattr(p, "_actions"))


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
    value = _without_objects(given(rest))
    return f"Expected {expected} for {key}, received {value or 'nothing'}."


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
        return f"a list{ELEMENTS.get(inner.rstrip('].'), '')}"
    return TYPES.get(head, f"a {head}")


def _without_objects(text: str) -> str:
    """Replace the parser's Namespace(a=1) by a: 1."""
    while found := re.search(r"Namespace\(([^()]*)\)", text):
        inner = found[1].replace("=", ": ")
        text = f"{text[: found.start()]}{inner}{text[found.end() :]}"
    return text
