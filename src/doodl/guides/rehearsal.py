"""Checks guides that users wrote on two small pictures, before a model is loaded.

A mistake in a guide would otherwise be found after minutes of loading, or never: a
loss that depends on the other pictures of its batch only changes the results.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from doodl.generation import Generation
from doodl.guides.base import Function, Guide
from doodl.guides.ensemble import Ensemble
from doodl.guides.process import check_untouched, unchanged
from doodl.guides.returned import (
    check_gradient,
    check_shape,
    check_targets,
    check_terms,
    same,
)
from doodl.tracebacks import is_users, message_of, raised_here, user_frame

SIDE = 64
"""Side of the pictures in pixels for guides without an input size."""
SIGNATURES = {
    "load": ("device",),
    "prepare": ("generations",),
    "forward": ("pixels", "targets"),
    "terms": ("pixels", "targets"),
    "score": ("pixels", "targets"),
}
"""Arguments with which the methods of a guide are called."""


@dataclass(frozen=True)
class Stage:
    """The conditions under which guides are called.

    Args:
        size: (height, width) of the pictures for guides without an input size.
        gradient: whether the loss is differentiated.
        device: device of guides and pictures.
        autocast: 16-bit type in which networks compute, or None.
    """

    size: tuple[int, int] = (SIDE, SIDE)
    gradient: bool = True
    device: torch.device | str = "cpu"
    autocast: torch.dtype | None = None


def users_guides(guide: Guide) -> list[Guide]:
    """Return the guide, or the members of an ensemble, that are not packaged."""
    if type(guide) is Ensemble:
        return [own for member in guide.members for own in users_guides(member)]
    packaged = type(guide).__module__.partition(".")[0] == "doodl"
    return [] if packaged and type(guide) is not Function else [guide]


def rehearse(guide: Guide, generations: Sequence[Generation], stage: Stage) -> None:
    """Load a guide and call it forward and backward on two random pictures.

    The calls are made on a copy, and random states are restored, so that the job's
    results are the same as without a rehearsal.

    Args:
        guide: a guide that is not packaged.
        generations: those of the job; the targets of the first two are prepared.
        stage: the conditions under which the guide will be called.

    Raises:
        ValueError: the guide fails; the message gives its class, the line in the
            user's file and the remedy.
    """
    name = described(guide)
    _check_methods(guide, name)
    device = torch.device(stage.device)
    context = torch.autocast(device.type, stage.autocast) if stage.autocast else None
    forked = [device] if device.type == "cuda" else []
    alone = torch.random.fork_rng(forked)
    with alone, context or nullcontext(), _blaming(name), unchanged(name):
        torch.manual_seed(0)
        guide.load(device)
        twin = _copied(guide)
        pair = [*generations, *generations][:2]
        targets = check_targets(twin.prepare(pair), name)
        _call(twin, name, _pictures(twin, stage), targets, stage.gradient)


def described(guide: Guide) -> str:
    """Return class, file and line of a guide, as "the guide Dark (dark.py, line 4)"."""
    function = type(guide) is Function
    made: Any = guide.function if function else type(guide)
    name = getattr(made, "__qualname__", type(made).__name__)
    try:
        code = made if function else made.forward
        file, line = inspect.getsourcefile(code), inspect.getsourcelines(code)[1]
    except (TypeError, OSError):
        file, line = None, 0
    place = f" ({Path(file).name}, line {line})" if file and is_users(file) else ""
    return f"the {'function' if function else 'guide'} {name}{place}"


def _check_methods(guide: Guide, name: str) -> None:
    """Refuse a guide that is not initialised, or whose methods take other arguments."""
    if "_modules" not in guide.__dict__:
        raise ValueError(
            f"Expected {name} to call super().__init__() at the beginning of its "
            "__init__, received a guide that does not; add the call."
        )
    for method, arguments in SIGNATURES.items():
        signature = inspect.signature(getattr(guide, method))
        try:
            signature.bind(*arguments)
        except TypeError:
            given = (
                str(signature).replace("(", "(self, ", 1).replace("(self, )", "(self)")
            )
            raise ValueError(
                f"Expected {method}({', '.join(['self', *arguments])}) in {name}, "
                f"received {method}{given}; change its arguments."
            ) from None


@contextmanager
def _blaming(name: str) -> Iterator[None]:
    """Turn an exception of the user's code into a sentence with its line."""
    try:
        yield
    except Exception as error:
        if type(error) is ValueError and raised_here(error):
            raise
        frame = user_frame(error)
        place = f" in {Path(frame.filename).name}, line {frame.lineno}" if frame else ""
        text = (
            " ".join(message_of(error).split())[:300].rstrip(".") or "without a message"
        )
        if "numpy()" in text:
            text = "NumPy has no gradient; use the operations of torch"
        raise ValueError(
            f"Expected {name} to score two random pictures, received the exception "
            f"{type(error).__name__}{place}: {text}; correct that line, or set "
            "DOODL_TRACEBACK=1 to see the traceback."
        ) from error


def _copied(guide: Guide) -> Guide:
    try:
        return copy.deepcopy(guide)
    except Exception:  # an attribute that cannot be copied
        return guide


def _pictures(guide: Guide, stage: Stage) -> Tensor:
    """Return a dark and a bright picture (2, 3, h, w) of random pixels."""
    side = guide.input_size
    if side is not None and not (isinstance(side, int) and side > 0):
        raise ValueError(
            f"Expected input_size in pixels, or None, of {type(guide).__name__}, "
            f"received {side!r}; correct it."
        )
    height, width = stage.size if side is None else (side, side)
    noise = torch.rand(2, 3, height, width)
    scale = torch.tensor([0.4, 0.6]).view(2, 1, 1, 1)
    offset = torch.tensor([0.0, 0.4]).view(2, 1, 1, 1)
    return (noise * scale + offset).to(stage.device)


def _check_numbers(losses: Tensor, name: str) -> None:
    if not losses.isfinite().any():
        kind = "NaN" if losses.isnan().all() else "infinity"
        raise ValueError(
            f"Expected {name} to return numbers for two random pictures, received "
            f"{kind} for both; look for a division by zero, or a root or logarithm."
        )


def _call(
    guide: Guide,
    name: str,
    pictures: Tensor,
    targets: dict[str, Tensor],
    gradient: bool,
) -> None:
    """Call a guide as the job will; refuse what it returns if that cannot be used."""
    with torch.set_grad_enabled(gradient):
        leaf = pictures.clone().requires_grad_(gradient)
        pixels = leaf.clone()
        versions = [target._version for target in (pixels, *targets.values())]
        losses = _values(guide, pixels, targets, name, gradient)
        inputs = {f"target '{key}'": target for key, target in targets.items()}
        check_untouched({"pixels": pixels} | inputs, versions, name)
        _check_numbers(losses, name)
        if leaf.grad is not None:
            raise ValueError(
                f"Expected {name} to return losses only, received a call of backward() "
                "inside it; leave it out, since doodl differentiates the losses."
            )
        if gradient:
            check_gradient(losses, leaf, name)
    with torch.no_grad():
        values = losses.detach()
        again = _values(guide, pictures.clone(), targets, name, gradient)
        rows = [{k: t[i : i + 1] for k, t in targets.items()} for i in range(2)]
        alone = torch.cat(
            [
                _values(guide, pictures[i : i + 1].clone(), rows[i], name, gradient)
                for i in range(2)
            ]
        )
        # Losses that are random or count their calls differ for other reasons.
        if same(values, again) and not same(values, alone):
            raise ValueError(
                f"Expected the loss of a picture from {name} to be the same in every "
                f"batch, received {values[0]:.4g} beside another picture and "
                f"{alone[0]:.4g} alone; leave out everything that mixes pictures, such "
                "as batch norm or a mean over dimension 0."
            )
        scores = guide.score(pictures.clone(), targets)
        check_shape(scores, 2, name, "score")


def _values(
    guide: Guide,
    pixels: Tensor,
    targets: dict[str, Tensor],
    name: str,
    gradient: bool,
) -> Tensor:
    """Return the losses (N,) of N pictures, or their scores if no loss is needed."""
    if gradient:
        terms = guide.terms(pixels, targets)
        return check_terms(terms, len(pixels), name)["loss"]
    return check_shape(guide.score(pixels, targets), len(pixels), name, "score")
