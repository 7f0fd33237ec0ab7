"""How much memory is available: the machine's, and a container's share of it."""

import sys

import pytest
import torch

from doodl.sampling import memory

CPU = torch.device("cpu")
GIB = 2**30
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 8 GiB, of which 1 is free and 5 are available."""
    meminfo, own, groups = (tmp_path / name for name in ("meminfo", "own", "groups"))
    meminfo.write_text(
        f"MemTotal: {8 * 2**20} kB\nMemFree: {2**20} kB\nMemAvailable: {5 * 2**20} kB\n"
    )
    own.write_text("")
    groups.mkdir()
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "OWN_CGROUPS", own)
    monkeypatch.setattr(memory, "CGROUPS", groups)
    return tmp_path


def write(group, **files):
    group.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (group / f"memory.{name}").write_text(f"{value}\n")


@linux
def test_the_file_cache_counts_as_available(machine):
    assert memory.available_bytes(CPU) == 5 * GIB


@linux
def test_a_container_has_what_its_limit_leaves(machine):
    (machine / "own").write_text("0::/\n")
    write(machine / "groups", max=4 * GIB, current=3 * GIB)
    assert memory.available_bytes(CPU) == 1 * GIB


@linux
def test_a_containers_file_cache_counts_as_available_too(machine):
    (machine / "own").write_text("0::/job\n")
    stat = f"anon {GIB}\ninactive_file {2 * GIB}"
    write(machine / "groups" / "job", max=4 * GIB, current=3 * GIB, stat=stat)
    assert memory.available_bytes(CPU) == 3 * GIB


@linux
def test_the_limit_of_an_outer_group_holds_inside(machine):
    (machine / "own").write_text("0::/outer/inner\n")
    write(machine / "groups" / "outer", max=2 * GIB, current=1 * GIB)
    write(machine / "groups" / "outer" / "inner", max="max", current=1 * GIB)
    assert memory.available_bytes(CPU) == 1 * GIB


@linux
def test_a_group_without_a_limit_has_the_machines_memory(machine):
    (machine / "own").write_text("0::/\n")
    write(machine / "groups", max="max", current=3 * GIB)
    assert memory.available_bytes(CPU) == 5 * GIB


@linux
def test_a_limit_of_version_1_holds(machine):
    (machine / "own").write_text("5:cpu:/job\n4:memory:/job\n0::/\n")
    write(
        machine / "groups" / "memory" / "job",
        limit_in_bytes=4 * GIB,
        usage_in_bytes=3 * GIB,
        stat=f"total_inactive_file {GIB}",
    )
    assert memory.available_bytes(CPU) == 2 * GIB


@linux
def test_memory_that_the_system_does_not_tell_is_0(machine):
    (machine / "meminfo").unlink()
    assert memory.available_bytes(CPU) == 0


def test_a_mac_has_its_free_and_reclaimable_pages(monkeypatch):
    text = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                        10.\n"
        "Pages active:                     900.\n"
        "Pages inactive:                    20.\n"
        "Pages speculative:                  3.\n"
    )

    class Done:
        stdout = text

    monkeypatch.setattr(memory.sys, "platform", "darwin")
    monkeypatch.setattr(memory.subprocess, "run", lambda *args, **settings: Done)
    assert memory.available_bytes(CPU) == 33 * 16384


def test_memory_is_found_on_this_machine():
    assert memory.available_bytes(CPU) > 2**20
