"""Refuses wrong arguments of `doodl.optimize`, each in one sentence."""

from __future__ import annotations

import difflib
import inspect
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from lightning import Callback
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.optim import Optimizer

from doodl.execution import Execution
from doodl.guides import Guide
from doodl.render_settings import RenderSettings, Start
from doodl.sampling.chain import Method

Test = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _listed(test: Test) -> Test:
    """Return whether a value is one that passes a test, or a list of them."""

    def passes(value: Any) -> bool:
        listed = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        return all(map(test, value)) if listed else test(value)

    return passes


def _optional(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _pair(value: Any) -> bool:
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    return listed and len(value) == 2 and all(map(_whole, value))


def _kind(kind: Any) -> Test:
    """Return whether a value is an object of a class, and not a class, or None."""
    return _optional(lambda v: isinstance(v, kind) and not isinstance(v, type))


def _callbacks(value: Any) -> bool:
    if not isinstance(value, Sequence):
        return False
    if not all(isinstance(c, Callback) for c in value):
        return False
    keys = [c.state_key for c in value if is_overridden("state_dict", c, Callback)]
    return len(set(keys)) == len(keys)  # of two, only one state could be kept


def _maker(value: Any) -> bool:
    return callable(value) and not isinstance(value, Optimizer)


def _has(value: Any, method: str) -> bool:
    return callable(getattr(value, method, None)) and not isinstance(value, type)


def _text(value: Any) -> bool:
    return isinstance(value, str)


WHOLE = (_whole, "a whole number")
SIDE = (_optional(_whole), "a whole number of pixels or None")
NUMBER = (_number, "a number")
EXPECTED: dict[str, tuple[Test, str]] = {
    "prompts": (_listed(_text), "a text or a list of texts"),
    "guide": (
        lambda value: callable(value) and not isinstance(value, type),
        "a guide, or a function from pixels (B, 3, H, W) to losses (B,)",
    ),
    "seeds": (_listed(_whole), "a whole number or a list of them"),
    "negative_prompt": (_text, "a text"),
    "batch_size": WHOLE,
    "num_updates": WHOLE,
    "optimizer": (
        _optional(_maker),
        "a function that makes an optimiser, such as partial(LatentSGD, lr=1.0)",
    ),
    "callbacks": (_callbacks, "a list of different callbacks"),
    "judge": (_optional(lambda v: isinstance(v, Guide)), "a guide object or None"),
    "num_steps": WHOLE,
    "height": SIDE,
    "width": SIDE,
    "guidance_scale": NUMBER,
    "guidance_interval": (
        _optional(_pair),
        "the first and the last timestep, such as (0, 999), or None",
    ),
    "execution": (
        _optional(lambda v: isinstance(v, Execution)),
        "an Execution such as Execution(compile=True), or None",
    ),
    "mixing": NUMBER,
    "latents_dtype": (lambda v: v in ("float32", "float64"), "'float32' or 'float64'"),
    "method": (_kind(Method), "a method such as DDIM(), or None"),
    "adjoint": (_kind(Callable), "an adjoint such as DirectAdjoint(), or None"),
    "edit": (_kind(Start), "an edit such as Edit(strength=0.5), or None"),
    "verdict": (
        _optional(lambda v: _has(v, "verdicts") and _has(v, "load")),
        "a verdict, an object with the methods load and verdicts, or None",
    ),
}
"""What every argument has to be: a test, and its words."""


def check_arguments(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse unknown names and values of wrong types.

    Args:
        given: arguments by name.
        known: further names than those of `RenderSettings`.

    Raises:
        ValueError: a name or a value is wrong.
    """
    names = {*known, *inspect.signature(RenderSettings).parameters}
    for name, value in given.items():
        if name not in names:
            close = difflib.get_close_matches(name, sorted(names), 1, 0.6)
            hint = f"did you mean {close[0]}?" if close else "leave it out."
            raise ValueError(
                f"Expected an argument that exists, received {name}; {hint}"
            )
        test, words = EXPECTED.get(name, (lambda _: True, ""))
        if not test(value):
            advice = f"; give {value.__name__}()" if isinstance(value, type) else ""
            raise ValueError(
                f"Expected {words} for {name}, received {value!r:.80}{advice}."
            )


def plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python, which JSON has, also in a list."""
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value
