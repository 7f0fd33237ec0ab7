"""Starts commands for tests in process groups of their own, and ends them for sure."""

import contextlib
import os
import signal
import subprocess

import pytest

TIMEOUT = 240
FOREIGN = ("SLURM", "LOCAL_RANK", "RANK", "WORLD_SIZE", "NODE_RANK", "MASTER", "DOODL")


def clean_environment(**variables):
    """This process's environment without what a launcher would have set."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    return clean | {"OMP_NUM_THREADS": "1", **variables}


def start(command, cwd=None, **variables):
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        [str(part) for part in command],
        env=clean_environment(**variables),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )


def _heed_interrupts():
    """Undo what a shell does to the commands that it runs in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def end(process, timeout=TIMEOUT):
    """The exit code and the output; whatever hangs is killed and fails the test."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        pytest.fail(f"still running after {timeout} s")
    finally:
        kill_group(process)
    return process.returncode, output


def kill_group(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
