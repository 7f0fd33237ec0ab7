"""What can go wrong with single generations, and is recorded instead of raised."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from doodl.sampling.memory import is_out_of_memory
from doodl.trajectory import Trajectory

CORRUPT_GAP = 0.25
"""A mean distance of the final latents, in standard deviations, that shows."""


@contextmanager
def out_of_memory(trajectory: Trajectory, *, reverses: bool) -> Iterator[None]:
    """Record the whole batch as failed when memory runs out, and go on.

    Args:
        trajectory: of the batch.
        reverses: whether the adjoint is the one that needs least memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        count = len(trajectory)
        smaller = f"data.batch_size {count // 2}" if count > 1 else "smaller images"
        adjoint = "" if reverses else " or the adjoint ReversibleAdjoint"
        for i in range(count):
            if not trajectory.ended(i):
                trajectory.failures[i] = (
                    f"out of memory; try {smaller}{adjoint}, and --dry-run to see "
                    "what they need"
                )


def refuse_non_finite(trajectory: Trajectory, values: Tensor, what: str) -> None:
    """Record generations whose value (B,) is NaN or infinite as failed."""
    for i, finite in enumerate(values.isfinite().tolist()):
        if not finite and not trajectory.ended(i):
            trajectory.failures[i] = f"{what} is not finite"


def warn_of_gap(gap: Tensor, mixing: float, num_steps: int) -> bool:
    """Say, if it is so, that the two latents of a pair have drifted apart.

    Args:
        gap: (B,) of the final latents, in their standard deviations.
        mixing: EDICT's p.
        num_steps: T.

    Returns:
        whether it was said.
    """
    widest = gap.max().item()
    if widest <= CORRUPT_GAP:
        return False
    warnings.warn(
        f"The two latents of a pair end {widest:.2f} standard deviations apart, which "
        f"corrupts the image: mixing p = {mixing:g} is too high for num_steps "
        f"{num_steps}; choose a smaller p, which mixes more, or take more steps.",
        stacklevel=2,
    )
    return True
