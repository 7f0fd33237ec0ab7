"""Starts the processes of a machine, and stops them with their starter."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import (
    _basic_subprocess_cmd,
)
from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies.launchers.launcher import _Launcher
from typing_extensions import override

LAUNCHED = "DOODL_LAUNCHED"
"""Variable of a process whose starter holds the other end of its stdin."""


class IndependentLauncher(_Launcher):
    """Runs the same command again for each further device of a machine.

    Lightning's own launcher kills all processes when one fails, and leaves them running
    when the first ends or is killed. This one reports a failed rank at the end. A rank
    whose starter has ended saves and stops as for SIGTERM, so that the command can be
    run again at once.

    Args:
        cluster_environment: knows the rank of this process and who starts the others.
        num_processes: number of processes on this machine.
        num_nodes: number of machines.
    """

    def __init__(
        self,
        cluster_environment: ClusterEnvironment,
        num_processes: int,
        num_nodes: int,
    ) -> None:
        self.cluster_environment = cluster_environment
        self.num_processes = num_processes
        self.num_nodes = num_nodes
        self.started: list[subprocess.Popen[bytes]] = []

    @property
    @override
    def is_interactive_compatible(self) -> bool:
        return False

    @override
    def launch(
        self,
        function: Callable[..., Any],
        *args: Any,
        trainer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Start the other processes if none does, run the function, and wait for them.

        Raises:
            ChildProcessError: this process has succeeded, another one has failed.
        """
        self.cluster_environment.validate_settings(self.num_processes, self.num_nodes)
        if os.environ.pop(LAUNCHED, None):
            _stop_with_starter()
        elif not self.cluster_environment.creates_processes_externally:
            self.start_others()
        _set_num_threads_if_needed(self.num_processes)
        try:
            result = function(*args, **kwargs)
        except KeyboardInterrupt:
            self.kill(signal.SIGTERM)
            raise
        self.refuse_failures(self.wait())
        return result

    def start_others(self) -> None:
        """Run the command once for each further device."""
        # A second fit() of the same script finds these and starts no process.
        os.environ["NODE_RANK"] = str(self.cluster_environment.node_rank())
        os.environ["LOCAL_RANK"] = "0"
        os.environ["MASTER_ADDR"] = self.cluster_environment.main_address
        os.environ["MASTER_PORT"] = str(self.cluster_environment.main_port)
        os.environ["WORLD_SIZE"] = str(self.num_processes * self.num_nodes)
        for local_rank in range(1, self.num_processes):
            environment = os.environ | {"LOCAL_RANK": str(local_rank), LAUNCHED: "1"}
            process = subprocess.Popen(
                _basic_subprocess_cmd(), env=environment, stdin=subprocess.PIPE
            )
            self.started.append(process)
        # After an error here the others go on; the exit waits for them.
        atexit.register(self.wait)

    def wait(self) -> list[int]:
        """Return the exit codes of the started processes once all have ended."""
        return [process.wait() for process in self.started]

    def refuse_failures(self, codes: list[int]) -> None:
        """Raise if a started process has failed.

        Raises:
            ChildProcessError: names the failed ranks of this machine and exit codes.
        """
        failed = [f"{i} ({code})" for i, code in enumerate(codes, 1) if code]
        if failed:
            raise ChildProcessError(
                f"Expected every rank to end with exit code 0, received another from "
                f"local rank {', '.join(failed)}; the results of the others are "
                "complete, run the same command again for the rest."
            )

    @override
    def kill(self, signum: Any) -> None:
        """Send a signal to the started processes that are still running."""
        for process in self.started:
            process.send_signal(signum)


def _stop_with_starter() -> None:
    """Send this process SIGTERM once its starter has ended, for any reason."""

    def watch() -> None:
        # Nothing is ever written: the read ends when the other end closes. (Not through
        # sys.stdin, whose lock a blocked thread would hold while Python shuts down.)
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="doodl-starter").start()
