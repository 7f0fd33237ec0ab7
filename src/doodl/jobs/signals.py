"""Signals with which a scheduler announces the end of a job's time."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def requeue_as_stop() -> Iterator[None]:
    """Send this process SIGTERM when it receives SIGUSR1, for the block's duration.

    SLURM sends SIGUSR1 before its time limit; Lightning stops cleanly at SIGTERM. In
    other threads than the main one, which cannot handle signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(
        signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)
