"""The loaders of a job: one counts updates, one takes batches of generations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Sampler


class Remaining(Sampler[int]):
    """The updates that the current batch of generations still needs.

    Args:
        module: has `num_updates` and `first_update`, which is read when the first
            number is taken: an epoch that resumes begins later.
    """

    def __init__(self, module: Any) -> None:
        self.module = module

    def __iter__(self) -> Iterator[int]:
        yield from range(self.module.first_update, self.module.num_updates)

    def __len__(self) -> int:
        return self.module.num_updates


class Taken(Sampler[int]):
    """The numbers of the batches that a process takes.

    Args:
        module: has `batches`, to which its `take` adds the next.
        most: how many they can be.
    """

    def __init__(self, module: Any, most: int) -> None:
        self.module, self.most = module, most

    def __iter__(self) -> Iterator[int]:
        number = 0
        while number < len(self.module.batches):
            yield number
            number += 1
            if number == len(self.module.batches):
                self.module.take()

    def __len__(self) -> int:
        return self.most


def one_by_one(items: Any, **options: Any) -> DataLoader[Any]:
    """Return a loader that hands over items as they are."""
    return DataLoader(
        items, batch_size=None, collate_fn=_as_it_is, num_workers=0, **options
    )


def _as_it_is(item: Any) -> Any:
    return item
