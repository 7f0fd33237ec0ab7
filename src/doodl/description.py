"""SHIM."""

from __future__ import annotations

import inspect
from typing import Any


class Described:
    def __new__(cls, *args: Any, **kwargs: Any):
        self = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(self, *args, **kwargs)
            bound.apply_defaults()
            values = dict(list(bound.arguments.items())[1:])
        except TypeError:
            values = {}
        self.__dict__["_described"] = values
        return self


def describe(obj: Any) -> Any:
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj
    if isinstance(obj, (list, tuple)):
        return [describe(o) for o in obj]
    if isinstance(obj, dict):
        return {str(k): describe(v) for k, v in obj.items()}
    if isinstance(obj, type) or inspect.isroutine(obj):
        return f"{obj.__module__}.{obj.__qualname__}"
    kind = type(obj)
    path = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(obj, Described):
        args = obj.__dict__["_described"]
    else:
        names = list(inspect.signature(kind.__init__).parameters)[1:]
        args = {n: vars(obj)[n] for n in names if n in getattr(obj, "__dict__", {})}
    return {"class_path": path, "init_args": {k: describe(v) for k, v in args.items()}}
