"""Independent ranks: processes that share a list of work and nothing else.

Every process optimises its own generations, so there is nothing to agree on.
Lightning's own strategies would still make them agree: DDP broadcasts rank 0's
parameters to all, averages gradients (here of different prompts), and lets a process
that is done wait for one that is not. `IndependentRanks` takes from DDP who is who, and
leaves the rest.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from lightning import Trainer
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.fabric.strategies.launchers.subprocess_script import (
    _basic_subprocess_cmd,
)
from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies import (
    DDPStrategy,
    ParallelStrategy,
    Strategy,
    StrategyRegistry,
)
from lightning.pytorch.strategies.launchers.launcher import _Launcher
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from typing_extensions import override

from doodl.dealing import Count, SharedCount, count_alone, open_store

T = TypeVar("T")

LAUNCHED = "DOODL_LAUNCHED"
"""Tells a process that another started it and holds the other end of its stdin."""


class IndependentRanks(DDPStrategy):
    """Gives every process its rank and device, and lets it go.

    No process group is made. Without one nothing waits: the module is not wrapped, a
    broadcast returns what it is given, a reduction what it is given, a barrier at once.
    (With a group, Lightning's training loop would broadcast a flag at every batch and
    so hold all ranks to the pace of the slowest.)

    Ranks come from Lightning's cluster environments: `Trainer(devices=N)` starts the
    command again N - 1 times, torchrun and SLURM start the processes themselves.

    A rank that fails takes no other with it; `fit` of the first rank of a machine
    returns when the ranks it started have ended, and raises if one of them failed.

    Lightning's own requeueing under SLURM is switched off: it saves rank 0's module
    and restores it in every rank.
    """

    def __init__(self) -> None:
        super().__init__()

    @override
    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        if isinstance(self.cluster_environment, SLURMEnvironment):
            self.cluster_environment.auto_requeue = False
        self._launcher = IndependentLauncher(
            self.cluster_environment, self.num_processes, self.num_nodes
        )

    @override
    def setup_distributed(self) -> None:
        """Set the ranks; DDP would now meet the others in a process group."""
        self.set_world_ranks()
        if self.world_size > 1 and self._hosts():
            open_store(*self._address(), True)  # others may be here before us

    def count(self) -> Count:
        """Return the numbers that all ranks of this job share."""
        if self.world_size == 1:
            return count_alone()
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return SharedCount(*self._address(), host=self._hosts(), attempt=attempt)

    def _address(self) -> tuple[str, int]:
        assert self.cluster_environment is not None
        return self.cluster_environment.main_address, self.cluster_environment.main_port

    def _hosts(self) -> bool:
        """Return whether this process hosts the store; torchrun's agent has one."""
        agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        return self.global_rank == 0 and not agent

    @override
    def setup(self, trainer: Trainer) -> None:
        """Move the module to the device; DDP would also send it rank 0's state."""
        assert self.accelerator is not None
        assert self.model is not None
        self.accelerator.setup(trainer)
        self.model = self.precision_plugin.convert_module(self.model)
        self.model_to_device()
        if trainer.state.fn == TrainerFn.FITTING:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    @override
    def configure_ddp(self) -> None:
        """Leave the module as it is: a wrapper would average its gradients."""

    @property
    @override
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """One replica: the data module has already dealt the work."""
        return {"num_replicas": 1, "rank": 0}

    @override
    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Return at once."""

    @override
    def broadcast(self, obj: T, src: int = 0) -> T:  # type: ignore[override]
        """Return what this rank has."""
        return obj

    @override
    def reduce(self, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what this rank has."""
        return tensor

    @override
    def all_gather(
        self, tensor: Tensor, group: Any | None = None, sync_grads: bool = False
    ) -> Tensor:
        """Return what this rank has, as with one process."""
        return tensor

    @override
    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Return this rank's decision; the base class counts votes of the world."""
        return decision


class IndependentLauncher(_Launcher):
    """Starts a process for each further device of a machine, by the same command.

    Lightning's own kills all processes when one fails, and leaves them behind when the
    first ends or is killed. Here a failed rank is reported at the end, and a rank whose
    starter is gone saves and stops as for SIGTERM, so that the command can be given
    again at once.

    Args:
        cluster_environment: says who this process is, and who starts the others.
        num_processes: of this machine.
        num_nodes: the machines.
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
        """Start the others if it falls to this process, do its work, wait for them.

        Raises:
            ChildProcessError: this process has done its work, another has not.
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
        # A second fit() of the same script finds these and starts nobody.
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
        # An error here must not end the others: they go on, and are waited for.
        atexit.register(self.wait)

    def wait(self) -> list[int]:
        """Return the exit codes of the started processes once all have ended."""
        return [process.wait() for process in self.started]

    def refuse_failures(self, codes: list[int]) -> None:
        """Raise if a started process has failed.

        Raises:
            ChildProcessError: naming the ranks of this machine and their exit codes.
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
        """Send a signal to the started processes that still run."""
        for process in self.started:
            process.send_signal(signum)


def _stop_with_starter() -> None:
    """Send this process SIGTERM when the one that started it is gone, however."""

    def watch() -> None:
        # Nothing is ever written: the read ends when the other end closes. (Not through
        # sys.stdin, whose lock a blocked thread would hold while Python shuts down.)
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="doodl-starter").start()


def independent(
    accelerator: Any = "auto",
    devices: Any = "auto",
    num_nodes: int = 1,
    strategy: Any = "auto",
) -> dict[str, Any]:
    """Return the trainer's settings for as many independent ranks as are asked for.

    With `devices` "auto", torchrun's or SLURM's number of processes counts; one process
    keeps Lightning's own strategy.

    Raises:
        ValueError: another strategy for several processes is asked for.
    """
    refuse_stock_strategies(strategy)
    if devices == "auto" and (counts := launched()):
        devices, num_nodes = counts
    chosen = {"devices": devices, "num_nodes": num_nodes}
    if strategy == "auto":
        probe = Trainer(accelerator=accelerator, logger=False, **chosen)  # type: ignore[arg-type]
        if isinstance(probe.strategy, ParallelStrategy):
            return {**chosen, "strategy": IndependentRanks()}
    return chosen


def launched() -> tuple[int, int] | None:
    """Return the processes a machine, and the machines, that a launcher has started."""
    if TorchElasticEnvironment.detect():
        local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        return local, int(os.environ["WORLD_SIZE"]) // local
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return None


def refuse_stock_strategies(strategy: Strategy | str) -> None:
    """Refuse strategies that make processes agree on parameters and gradients.

    Args:
        strategy: a trainer's, or the name it is asked for by.

    Raises:
        ValueError: it is DDP, FSDP, DeepSpeed or another of Lightning's parallel ones.
    """
    kind: Any = type(strategy)
    if isinstance(strategy, str):
        kind = _registered(strategy.lower())
    if issubclass(kind, ParallelStrategy) and not issubclass(kind, IndependentRanks):
        name = strategy if isinstance(strategy, str) else kind.__name__
        raise ValueError(
            f"Expected the strategy IndependentRanks, received {name}, which would "
            "give every process the parameters of rank 0 and average gradients over "
            "different prompts; leave trainer.strategy out."
        )


def _registered(name: str) -> type:
    """Return the class that Lightning knows by a name, if it knows one."""
    entry: dict[str, Any] = dict(StrategyRegistry).get(name, {})
    return entry.get("strategy", object)
