"""Descriptions: an object as the class and the arguments it was constructed with.

A folder of results records the settings of its images. They have to be the same
whether an object comes from a configuration file or from Python, and must not change
while it is used: a guide has other attributes before it loads its network than after.
The arguments of its constructor have both properties; its attributes do not.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import os
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

ARGUMENTS = "_constructor_arguments"


class Described:
    """Remembers the arguments of an object's constructor, defaults included.

    Subclasses need not do anything: `__new__` receives the same arguments as
    `__init__`, and stores them before `__init__` runs.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: D102
        self = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(self, *args, **kwargs)
        except TypeError:
            # copy and pickle pass no arguments, and restore the stored ones; in other
            # cases `__init__` raises the error.
            return self
        bound.apply_defaults()
        # `__dict__`, since nn.Module refuses attributes before its `__init__`.
        self.__dict__[ARGUMENTS] = _flat(bound)
        return self


def describe(value: Any) -> Any:
    """Return a value as JSON has it: numbers, strings, None, lists and dicts.

    An object becomes `{"class_path": ..., "init_args": {...}}`. Its arguments are
    those that it was constructed with, if it is `Described`. Of another object they
    are the parameters of its constructor that are also names of its attributes, with
    the attributes' values. Tensors, arrays and bytes are described by a digest of their
    content, and functions by their names.

    Args:
        value: any object.
    """
    return _describe(value, ())


def _describe(value: Any, outer: tuple[int, ...]) -> Any:
    """Describe a value inside of other ones.

    Args:
        value: any object.
        outer: identities of the objects around it, to end at a reference to one.
    """
    if isinstance(value, enum.Enum):
        return f"{_name(type(value))}.{value.name}"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    if isinstance(value, np.generic):
        return _describe(value.item(), outer)
    if isinstance(value, Tensor | np.ndarray):
        return _tensor(value)
    if isinstance(value, bytes | bytearray):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if id(value) in outer:
        return {"class_path": _name(type(value))}
    outer = (*outer, id(value))
    if isinstance(value, Mapping):
        return {str(key): _describe(part, outer) for key, part in value.items()}
    if isinstance(value, Set):
        return sorted((_describe(part, outer) for part in value), key=repr)
    if isinstance(value, Sequence):
        return [_describe(part, outer) for part in value]
    if isinstance(value, functools.partial):
        return {
            "function": _describe(value.func, outer),
            "args": [_describe(part, outer) for part in value.args],
            "keywords": _describe(value.keywords, outer),
        }
    if hasattr(value, "__qualname__"):  # a function, a method or a class
        return _name(value)
    found = {name: _describe(a, outer) for name, a in arguments(value).items()}
    return {"class_path": _name(type(value)), "init_args": found}


def arguments(value: object) -> dict[str, Any]:
    """Return the constructor's arguments that are known, by name."""
    attributes = getattr(value, "__dict__", {})
    if ARGUMENTS in attributes:
        return attributes[ARGUMENTS]
    try:
        names = inspect.signature(type(value)).parameters
    except (TypeError, ValueError):  # a class written in C
        return {}
    kinds = type(value).__mro__
    slots = {name for kind in kinds for name in getattr(kind, "__slots__", ())}
    attributes = {n: getattr(value, n) for n in slots if hasattr(value, n)} | attributes
    return {name: attributes[name] for name in names if name in attributes}


def _flat(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Return bound arguments without `self`, and with those of `**kwargs` by name."""
    found: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found |= {key: _copied(part) for key, part in value.items()}
        elif bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            if value:
                found[name] = _copied(value)
        else:
            found[name] = _copied(value)
    return found


def _copied(value: Any) -> Any:
    """Return a container's copy, so that a later change of it is not seen."""
    if type(value) is dict:
        return {key: _copied(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copied(part) for part in value)
    return value


def _tensor(value: Tensor | np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = {
        "class_path": _name(type(value)),
        "shape": list(value.shape),
        "dtype": str(value.dtype),
    }
    if isinstance(value, np.ndarray):
        plain = value.astype(str) if value.dtype.hasobject else value
        found["sha256"] = hashlib.sha256(plain.tobytes()).hexdigest()
    elif value.device.type != "meta":
        flat = value.detach().cpu().contiguous().reshape(-1)
        found["sha256"] = hashlib.sha256(
            flat.view(torch.uint8).numpy().tobytes()
        ).hexdigest()
    return found


def _name(value: Any) -> str:
    """Return the import path of a class or a function."""
    return f"{value.__module__}.{value.__qualname__}"
