"""Who makes which batch: whoever is free takes the next one."""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cache
from typing import ClassVar, Generic, TypeVar

from torch.distributed import DistError, TCPStore

T = TypeVar("T")

Count = Callable[[], int]
"""Returns 0, 1, 2, ..., each number to one caller only."""


def count_alone() -> Count:
    """Return the numbers for a process that shares them with nobody."""
    return itertools.count().__next__


@cache
def open_store(address: str, port: int, host: bool, /) -> TCPStore:
    """Return torch's key-value store, which lives as long as the host's process."""
    return TCPStore(
        address,
        port,
        is_master=host,
        wait_for_workers=False,
        timeout=timedelta(minutes=5),
    )


class SharedCount:
    """Numbers that several processes share, through torch's own key-value store.

    The store is no process group: nobody waits for the others, only for the store's
    host to be there. When the host has ended so has the work, unless it failed: then
    what was not dealt is left for the same command, given again.

    Args:
        address: of the host.
        port: of the host.
        host: whether this process is the one.
        attempt: of a launcher that begins again with the same store.
    """

    uses: ClassVar[Iterator[int]] = itertools.count()

    def __init__(self, address: str, port: int, *, host: bool, attempt: str) -> None:
        # Every process of a job counts as often as the others.
        self.key = f"doodl/{attempt}/{next(self.uses)}"
        try:
            self.store = open_store(address, port, host)
        except DistError as error:
            raise ValueError(
                f"Expected the first process at {address}:{port}, found none there "
                "within five minutes; see what became of it, and run the same command "
                "again."
            ) from error

    def __call__(self) -> int:
        """Return the next number."""
        try:
            return self.store.add(self.key, 1) - 1
        except DistError:
            warnings.warn(
                "The first process has ended: if it failed, run the same command again "
                "for what it has not dealt.",
                stacklevel=2,
            )
            return sys.maxsize


def deal(
    batches: Sequence[T], count: Count, remaining: Callable[[T], T]
) -> Iterator[T]:
    """Yield batches as their numbers are drawn, without what is there already.

    Args:
        batches: all of them, the same list for every process.
        count: shared by the processes.
        remaining: what of a batch is still to be made; nothing skips it.
    """
    while (number := count()) < len(batches):
        rest = remaining(batches[number])
        if rest:
            yield rest


class Work(Generic[T]):
    """The batches of this process, of which one is known at a time.

    Args:
        batches: all of them, the same list for every process.
        count: shared by the processes.
        remaining: returns what of a batch is still to be made.

    Attributes:
        current: the batch to make now; None when all have been dealt.
    """

    def __init__(
        self, batches: Sequence[T], count: Count, remaining: Callable[[T], T]
    ) -> None:
        self._dealt = deal(batches, count, remaining)
        self.current = next(self._dealt, None)

    @property
    def left(self) -> bool:
        """Whether there is a batch to make."""
        return self.current is not None

    def advance(self) -> None:
        """Take the next batch."""
        self.current = next(self._dealt, None)

    def __iter__(self) -> Iterator[T]:
        """Yield the batches, each taken when the one before is done."""
        while self.current is not None:
            yield self.current
            self.advance()
