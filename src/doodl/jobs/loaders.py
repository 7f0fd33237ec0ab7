"""The loaders of a job: one counts updates, one hands over batches of generations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from doodl.generation import Generation


class RemainingUpdates(Sampler[int]):
    """The numbers of the updates that the current batch of generations still needs.

    Args:
        updates: called when the first number is taken: an interrupted batch of
            generations goes on at a later update.
        most: how many they can be.
    """

    def __init__(self, updates: Callable[[], Iterable[int]], most: int) -> None:
        self.updates, self.most = updates, most

    def __iter__(self) -> Iterator[int]:
        yield from self.updates()

    def __len__(self) -> int:
        return self.most


class DealtBatches(Sampler[list[Generation]]):
    """The batches that a process takes, each when the one before is done.

    Args:
        work: yields them.
        most: how many they can be.
    """

    def __init__(self, work: Iterable[list[Generation]], most: int) -> None:
        self.work, self.most = work, most

    def __iter__(self) -> Iterator[list[Generation]]:
        yield from self.work

    def __len__(self) -> int:
        return self.most


def passthrough_loader(items: Sampler[Any]) -> DataLoader[Any]:
    """Return a loader that hands over items without collating them."""
    return DataLoader(
        _Unchanged(), batch_size=None, sampler=items, collate_fn=_unchanged
    )


class _Unchanged(Dataset[Any]):
    """Gives back whatever it is indexed with."""

    def __getitem__(self, item: Any) -> Any:
        return item


def _unchanged(item: Any) -> Any:
    return item
