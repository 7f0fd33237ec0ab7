import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.strategies import (
    DDPStrategy,
    FSDPStrategy,
    SingleDeviceStrategy,
)

from doodl.jobs.strategy import IndependentRanks, refuse_stock_strategies
from processes import TIMEOUT, end, start

SCRIPT = Path(__file__).parent / "uneven_ranks.py"
PLAIN = Path(__file__).parent / "plain_script.py"
PYTHON = [sys.executable, "-W", "ignore"]


def run(folder, *options, **variables):
    return end(start([*PYTHON, SCRIPT, folder, *options], **variables))


def items(folder):
    return {path.name: path.read_text() for path in Path(folder).glob("*.txt")}


def expected(count=5):
    """What one process without any trainer makes."""
    made = {}
    for item in range(count):
        torch.manual_seed(item)
        value = torch.nn.Parameter(torch.randn(2))
        optimizer = torch.optim.SGD([value], lr=0.1)
        for _ in range(min(item + 1, count)):
            optimizer.zero_grad()
            (value**4).sum().backward()
            optimizer.step()
        made[f"{item}.txt"] = str(value.tolist())
    return made


def wait_for(path, timeout=TIMEOUT):
    stop = time.monotonic() + timeout
    while not path.exists():
        assert time.monotonic() < stop, f"no {path.name}"
        time.sleep(0.02)


def gone(pid, timeout=30):
    """Whether a process of another parent ends in time."""
    status, stop = Path(f"/proc/{pid}/status"), time.monotonic() + timeout
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while "State:\tZ" not in status.read_text():
            if time.monotonic() > stop:
                return False
            time.sleep(0.02)
    return True


def test_two_processes_make_what_one_makes_and_the_first_does_not_wait(tmp_path):
    # Rank 1 begins only when rank 0 has ended its work.
    code, output = run(tmp_path, "--slow", 1)
    assert code == 0, output
    assert items(tmp_path) == expected()
    assert {p.name for p in tmp_path.glob("*-of-*")} == {"rank-0-of-2", "rank-1-of-2"}


def test_a_plain_script_deals_its_work_to_two_processes(world, tmp_path):
    options = [world / "pipeline", tmp_path, "--strategy", "independent"]
    code, output = end(start([*PYTHON, PLAIN, *options]))
    assert code == 0, output
    made = [(tmp_path / f"rank-{rank}.txt").read_text().split() for rank in range(2)]
    assert all(made)
    assert len(set(made[0] + made[1])) == len(made[0] + made[1]) == 5


def test_a_plain_script_that_names_no_strategy_is_refused(world, tmp_path):
    code, output = end(start([*PYTHON, PLAIN, world / "pipeline", tmp_path]))
    assert code == 1, output
    (said, *_) = [line for line in output.splitlines() if "ValueError: " in line]
    assert "received DDPStrategy" in said
    assert 'write Trainer(..., strategy="independent")' in said
    assert not list(tmp_path.glob("rank-*"))


@pytest.mark.slow
def test_a_rank_does_not_wait_for_the_first(tmp_path):
    code, output = run(tmp_path, "--slow", 0)
    assert code == 0, output
    assert items(tmp_path) == expected()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 3])
def test_a_process_count_does_not_change_the_items(tmp_path, devices):
    code, output = run(tmp_path, "--devices", devices)
    assert code == 0, output
    assert items(tmp_path) == expected()


@pytest.mark.slow
def test_a_rank_without_work_ends(tmp_path):
    code, output = run(tmp_path, "--devices", 2, "--items", 1)
    assert code == 0, output
    assert items(tmp_path) == expected(1)
    assert (tmp_path / "rank-1-of-2").exists()


@pytest.mark.slow
def test_every_rank_predicts_what_it_is_dealt(tmp_path):
    code, output = run(tmp_path, "--predict", "--items", 3)
    assert code == 0, output
    for rank in range(2):  # dealing is the data's task: no sampler of Lightning's
        assert (tmp_path / f"rank-{rank}-predicted").read_text() == "2"


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_failing_rank_is_told_and_takes_nobody_with_it(tmp_path, rank):
    code, output = run(tmp_path, "--fails", rank)
    assert code == 1, output
    mine = {f"{item}.txt" for item in range(5)[1 - rank :: 2]}
    assert items(tmp_path) == {k: v for k, v in expected().items() if k in mine}
    assert (tmp_path / f"rank-{rank}-stopped").read_text() == "ValueError"
    assert (f"local rank {rank} (1)" in output) == (rank == 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "first"),
    [
        (signal.SIGTERM, 0, "SIGTERMException"),
        (signal.SIGINT, 1, "KeyboardInterrupt"),
        (signal.SIGKILL, -signal.SIGKILL, None),
    ],
)
def test_ranks_stop_cleanly_with_the_first(tmp_path, number, code, first):
    process = start([*PYTHON, SCRIPT, tmp_path, "--waits"])
    try:
        for rank in range(2):
            wait_for(tmp_path / f"rank-{rank}-waits")
        os.kill(process.pid, number)  # the first rank alone is told
        assert gone((tmp_path / "rank-1-of-2").read_text())
    finally:
        ended = end(process)
    assert ended[0] == code, ended[1]
    assert (tmp_path / "rank-1-stopped").read_text() == "SIGTERMException"
    if first:
        assert (tmp_path / "rank-0-stopped").read_text() == first


@pytest.mark.slow
def test_torchrun_starts_the_ranks(tmp_path):
    torchrun = [*PYTHON, "-m", "torch.distributed.run", "--nproc_per_node", 2]
    torchrun += ["--standalone", "--no_python"]
    process = start([*torchrun, *PYTHON, SCRIPT, tmp_path, "--slow", 0])
    code, output = end(process)
    assert code == 0, output
    assert items(tmp_path) == expected()


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2])
def test_slurm_starts_the_ranks(tmp_path, nodes):
    per_node = 2 // nodes
    options = ["--devices", per_node, "--num_nodes", nodes, "--slow", 0]
    processes = [
        start(
            [*PYTHON, SCRIPT, tmp_path, *options],
            SLURM_JOB_ID="123",
            SLURM_JOB_NAME="doodl",
            SLURM_NTASKS="2",
            SLURM_NTASKS_PER_NODE=str(per_node),
            SLURM_NNODES=str(nodes),
            SLURM_PROCID=str(rank),
            SLURM_NODEID=str(rank // per_node),
            SLURM_LOCALID=str(rank % per_node),
        )
        for rank in range(2)
    ]
    for process in processes:
        code, output = end(process)
        assert code == 0, output
    assert items(tmp_path) == expected()
    assert {p.name for p in tmp_path.glob("*-of-*")} == {"rank-0-of-2", "rank-1-of-2"}


def test_what_ranks_would_share_stays_as_it_is():
    strategy, value = IndependentRanks(), torch.ones(2)
    assert strategy.broadcast(value) is value
    assert strategy.reduce(value, reduce_op="sum") is value
    assert strategy.all_gather(value) is value
    assert strategy.barrier("anything") is None
    for decision in (True, False):
        assert strategy.reduce_boolean_decision(decision, all=True) is decision
        assert strategy.reduce_boolean_decision(decision, all=False) is decision


@pytest.mark.parametrize(
    "strategy",
    ["ddp", "DDP", "ddp_spawn", "fsdp", "deepspeed_stage_2", DDPStrategy()],
)
def test_strategies_that_average_are_refused_in_one_sentence(strategy):
    with pytest.raises(ValueError, match="average gradients over different") as error:
        refuse_stock_strategies(strategy)
    assert "\n" not in str(error.value)


def test_a_sharded_strategy_is_refused():
    with pytest.raises(ValueError, match="received FSDPStrategy"):
        refuse_stock_strategies(FSDPStrategy())


@pytest.mark.parametrize(
    "strategy",
    ["auto", "independent", IndependentRanks(), SingleDeviceStrategy("cpu")],
)
def test_other_strategies_are_not_refused(strategy):
    refuse_stock_strategies(strategy)
