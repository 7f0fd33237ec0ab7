import os
import signal
import threading

import pytest

from doodl.jobs.signals import requeue_as_stop


@pytest.fixture
def stops():
    """Numbers of the SIGTERMs that this process receives."""
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, before)


def test_a_warning_of_the_time_limit_is_a_stop_within_the_block(stops):
    before = signal.getsignal(signal.SIGUSR1)
    with requeue_as_stop():
        os.kill(os.getpid(), signal.SIGUSR1)
    assert stops == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGUSR1) == before


def test_the_handler_is_put_back_after_an_error(stops):
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(KeyError), requeue_as_stop():
        raise KeyError
    assert signal.getsignal(signal.SIGUSR1) == before


def test_another_thread_changes_no_handler():
    found = []

    def work():
        with requeue_as_stop():
            found.append(signal.getsignal(signal.SIGUSR1))

    before = signal.getsignal(signal.SIGUSR1)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
