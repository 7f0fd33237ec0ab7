"""The generations of a job as a sequence that makes each one when it is asked for.

A job of 300 000 prompts and 10 seeds has three million generations; as objects they
would need more than a gigabyte.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, TypeVar, overload

from typing_extensions import override

from doodl.generation import Generation, slug
from doodl.jobs.checks import check_distinct
from doodl.jobs.prompts import Row
from doodl.terminal import counted

ItemT = TypeVar("ItemT")

SAMPLE = 1000
"""Largest number of generations or batches that a dry run looks at."""


class Lazy(Sequence[ItemT]):
    """A sequence whose slices are lists; subclasses define `_make` and `__len__`."""

    def _make(self, index: int) -> ItemT:
        raise NotImplementedError("A subclass makes the item; define _make.")

    @overload
    def __getitem__(self, index: int) -> ItemT: ...

    @overload
    def __getitem__(self, index: slice) -> list[ItemT]: ...

    @override
    def __getitem__(self, index: int | slice) -> ItemT | list[ItemT]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(len(self)))]
        return self._make(range(len(self))[index])

    @override
    def __iter__(self) -> Iterator[ItemT]:
        return map(self._make, range(len(self)))

    def sample(self, most: int = SAMPLE) -> list[ItemT]:
        """Return at most this number of items, evenly spaced, the first included."""
        return self[:: max(1, -(-len(self) // most))]


class Generations(Lazy[Generation]):
    """Every row with every seed, or with its own one; a row's seeds are adjacent.

    Args:
        rows: prompts and what belongs to them.
        seeds: seeds of the rows without one of their own.
        negative_prompt: negative prompt of the rows without one of their own.

    Raises:
        ValueError: two generations are equal, or have the same id.
    """

    def __init__(
        self, rows: Sequence[Row], seeds: Sequence[int], negative_prompt: str = ""
    ) -> None:
        self.rows, self.seeds, self.negative_prompt = rows, seeds, negative_prompt
        counts = (len(seeds) if row.seed is None else 1 for row in rows)
        self._ends = list(accumulate(counts))
        self._positions: dict[Generation, int] = {}
        self._check_ids()

    @override
    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def one_per_row(self) -> Sequence[Generation]:
        """Return the first generation of each row: all prompts, targets and images."""
        return _First(self)

    def position(self, generation: Generation) -> int:
        """Return the index of a generation, which is looked for from the last one on.

        Jobs ask for generations in their order, so that the search is short.
        """
        if generation not in self._positions:
            start = max(self._positions.values(), default=-1) + 1
            for index in chain(range(start, len(self)), range(start)):
                if self._make(index) == generation:
                    self._positions = {generation: index}
                    break
            else:
                raise ValueError(
                    f"Expected a generation of this job, received {generation.id}."
                )
        return self._positions[generation]

    @override
    def _make(self, index: int) -> Generation:
        number = bisect.bisect_right(self._ends, index)
        row = self.rows[number]
        # A negative index counts from the row's last seed.
        last = index - self._ends[number]
        seed = self.seeds[last] if row.seed is None else row.seed
        return Generation(
            prompt=row.prompt,
            seed=seed,
            negative_prompt=(
                self.negative_prompt
                if row.negative_prompt is None
                else row.negative_prompt
            ),
            guide_prompt=row.guide_prompt,
            target=row.class_name,
            image=row.image,
            name=row.id,
        )

    def _check_ids(self) -> None:
        """Refuse equal ids, which only rows with equal slugs can have."""
        slugs = [slug(row.id or row.prompt) for row in counted(self.rows, "prompts")]
        often = {name for name, count in Counter(slugs).items() if count > 1}
        if not often:
            return
        starts = [0, *self._ends]
        alike = [
            index
            for number, name in enumerate(slugs)
            if name in often
            for index in range(starts[number], starts[number + 1])
        ]
        ids = [self._make(index).id for index in counted(alike, "similar prompts")]
        check_distinct("generations", ids)


class _First(Lazy[Generation]):
    def __init__(self, all_: Generations) -> None:
        self.all = all_

    @override
    def __len__(self) -> int:
        return len(self.all.rows)

    @override
    def _make(self, index: int) -> Generation:
        return self.all[self.all._ends[index - 1] if index else 0]


class Batches(Lazy[list[Generation]]):
    """All generations in order, `size` at a time.

    Args:
        generations: those of the job.
        size: number of generations of a batch; the last one may be smaller.
    """

    def __init__(self, generations: Sequence[Generation], size: int) -> None:
        self.generations, self.size = generations, size

    @override
    def __len__(self) -> int:
        return -(-len(self.generations) // self.size)

    @override
    def _make(self, index: int) -> list[Generation]:
        return list(self.generations[index * self.size : (index + 1) * self.size])


@dataclass(frozen=True)
class Remaining:
    """What a job still has to make.

    Args:
        generations: their number; an estimate if the batches were sampled.
        batches: number of batches with any of them.
        largest: number of generations in the largest batch; 0 if all are finished.
    """

    generations: int
    batches: int
    largest: int


def count_remaining(
    batches: Any, remaining: Callable[[Any], Sequence[Any]]
) -> Remaining:
    """Return what remains of a job, extrapolated from a sample of many batches.

    Args:
        batches: those of the job, a `Lazy` sequence.
        remaining: returns the generations of a batch that are not finished.
    """
    sample = batches.sample()
    sizes = [len(remaining(batch)) for batch in sample]
    share = len(batches) / max(1, len(sample))
    return Remaining(
        generations=round(sum(sizes) * share),
        batches=round(sum(map(bool, sizes)) * share),
        largest=max(sizes, default=0),
    )
