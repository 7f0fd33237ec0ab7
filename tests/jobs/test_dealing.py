"""Every batch to one process, whoever is free; nothing to wait for."""

import itertools
import socket
import threading

import pytest
from torch.distributed import DistNetworkError

from doodl.jobs.dealing import SharedCount, count_alone, deal, open_store


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def shared(port, host, attempt="0"):
    # Each process has a first use; here all are in one process.
    SharedCount.uses = itertools.count()
    return SharedCount("127.0.0.1", port, host=host, attempt=attempt)


def test_one_process_gets_every_batch_in_order():
    assert list(deal(["a", "b"], count_alone(), list)) == [["a"], ["b"]]


def test_batches_that_are_there_are_passed_over():
    batches = [[1, 2], [3], [4, 5]]
    rest = deal(batches, count_alone(), lambda batch: [n for n in batch if n % 2])
    assert list(rest) == [[1], [3], [5]]


def test_a_batch_is_looked_for_only_when_it_is_taken():
    asked = []
    dealt = deal([[1], [2]], count_alone(), lambda batch: asked.append(batch) or batch)
    assert next(dealt) == [1]
    assert asked == [[1]]


def test_processes_share_the_batches_without_repeating_any(port):
    batches, taken = [[n] for n in range(200)], [[], [], []]
    counts = [shared(port, host=k == 0) for k in range(3)]

    def work(k):
        taken[k] += deal(batches, counts[k], list)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sum(taken, [])) == batches


def test_another_attempt_with_the_same_store_begins_again(port):
    first, second = shared(port, True, "0"), shared(port, True, "1")
    assert [first(), first(), second()] == [0, 1, 0]


def test_without_the_host_there_is_no_more_work(port):
    open_store("127.0.0.1", port, True)
    count = shared(port, host=False)
    assert list(itertools.islice(deal([[1], [2], [3]], count, list), 1)) == [[1]]
    open_store.cache_clear()  # ends the host, and forgets the client
    with pytest.warns(UserWarning, match="first process has ended: if it failed, run"):
        assert list(deal([[1], [2], [3]], count, list)) == []


def test_a_host_that_never_comes_is_a_sentence(monkeypatch):
    def absent(*args, **settings):
        raise DistNetworkError("timed out")

    monkeypatch.setattr("doodl.jobs.dealing.open_store", absent)
    with pytest.raises(ValueError, match="first process at here:7, found none"):
        SharedCount("here", 7, host=False, attempt="0")
