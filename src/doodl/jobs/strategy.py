"""Independent ranks: processes that share a list of work and nothing else.

Every process optimises its own generations, so processes need not communicate.
Lightning's own strategies would couple them: DDP broadcasts rank 0's parameters to all,
averages gradients (here of different prompts), and makes a process that has finished
wait for the others. `IndependentRanks` reuses DDP's rank and device assignment; all
communication is disabled. Importing this module registers it with Lightning, so that
`Trainer(devices=2, strategy="independent")` selects it.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

from lightning import Trainer
from lightning.fabric.plugins.environments import (
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import (
    DDPStrategy,
    ParallelStrategy,
    Strategy,
    StrategyRegistry,
)
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from typing_extensions import override

from doodl.jobs.dealing import Count, SharedCount, count_alone, open_store
from doodl.jobs.launcher import IndependentLauncher

T = TypeVar("T")

NAME = "independent"
"""The name under which Lightning's `StrategyRegistry` knows `IndependentRanks`."""


class IndependentRanks(DDPStrategy):
    """Gives every process its rank and device, and lets it work alone.

    No process group is created, so no process ever waits for another: the module is
    not wrapped, broadcasts and reductions return their argument, and a barrier returns
    at once. (With a group, Lightning's training loop would broadcast a flag at every
    batch and so hold all ranks to the pace of the slowest.)

    Ranks come from Lightning's cluster environments: `Trainer(devices=N)` starts the
    command again N - 1 times, torchrun and SLURM start the processes themselves.

    A failing rank does not stop the others. In the first rank of a machine, `fit`
    returns once the ranks that it started have ended, and raises if one of them failed.

    Lightning's own requeueing under SLURM is switched off, because it would save rank
    0's module and restore it in every rank.
    """

    def __init__(self) -> None:
        super().__init__()  # DDP's options would have no effect

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
        """Set the ranks; DDP would also join a process group here."""
        self.set_world_ranks()
        if self.world_size > 1 and self._hosts():
            open_store(*self._address(), True)  # others may already connect

    def count(self) -> Count:
        """Return the counter that all ranks of this job draw from."""
        if self.world_size == 1:
            return count_alone()
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return SharedCount(*self._address(), host=self._hosts(), attempt=attempt)

    def _address(self) -> tuple[str, int]:
        assert self.cluster_environment is not None
        return self.cluster_environment.main_address, self.cluster_environment.main_port

    def _hosts(self) -> bool:
        """Return whether this process hosts the store; torchrun has its own."""
        agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        return self.global_rank == 0 and not agent

    @override
    def setup(self, trainer: Trainer) -> None:
        """Move the module to the device; DDP would also send it rank 0's state."""
        assert self.accelerator is not None
        assert self.model is not None
        # Lightning's sampler for DDP would read all updates before a batch begins.
        trainer._accelerator_connector.use_distributed_sampler = False
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
        """Return the object of this rank."""
        return obj

    @override
    def reduce(self, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the value of this rank."""
        return tensor

    @override
    def all_gather(
        self, tensor: Tensor, group: Any | None = None, sync_grads: bool = False
    ) -> Tensor:
        """Return the tensor of this rank, as with one process."""
        return tensor

    @override
    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Return this rank's decision; the base class would ask every rank."""
        return decision


if NAME not in StrategyRegistry:
    StrategyRegistry.register(
        NAME, IndependentRanks, description="Processes that do not communicate"
    )


def independent(
    accelerator: Any = "auto",
    devices: Any = "auto",
    num_nodes: int = 1,
    strategy: Any = "auto",
) -> dict[str, Any]:
    """Return the trainer's settings for the requested number of independent ranks.

    With `devices` "auto", the number of processes comes from torchrun or SLURM. A
    single process keeps Lightning's own strategy.

    Raises:
        ValueError: `strategy` is another one for several processes.
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
    """Return torchrun's or SLURM's number of processes per machine, and of machines."""
    if TorchElasticEnvironment.detect():
        local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        return local, int(os.environ["WORLD_SIZE"]) // local
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return None


def refuse_stock_strategies(strategy: Strategy | str) -> None:
    """Refuse strategies that synchronise parameters and gradients of the processes.

    Args:
        strategy: a trainer's strategy, or the name of one.

    Raises:
        ValueError: it is DDP, FSDP, DeepSpeed or another of Lightning's parallel ones.
    """
    kind: Any = type(strategy)
    if isinstance(strategy, str):
        kind = _registered(strategy.lower())
    if issubclass(kind, ParallelStrategy) and not issubclass(kind, IndependentRanks):
        name = strategy if isinstance(strategy, str) else kind.__name__
        raise ValueError(
            f'Expected strategy="{NAME}", received {name}, which would give every '
            "process the parameters of rank 0 and average gradients over different "
            f'prompts; write Trainer(..., strategy="{NAME}"), or leave '
            "--trainer.strategy out on the command line."
        )


def _registered(name: str) -> type:
    """Return the class that is registered with Lightning by this name, or `object`."""
    entry: dict[str, Any] = dict(StrategyRegistry).get(name, {})
    return entry.get("strategy", object)
