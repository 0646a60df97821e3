"""How much memory there is, where control groups limit it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scip_mpi.memory import MemoryAccount, group_limits, machine_memory


def test_no_more_than_the_machine_has() -> None:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < machine_memory() <= pages


def test_the_groups_above_count_too(tmp_path: Path) -> None:
    root, own = tmp_path / "groups", tmp_path / "cgroup"
    step = root / "slurm" / "job_1" / "step_0"
    step.mkdir(parents=True)
    (step / "memory.max").write_text("max\n")
    (step.parent / "memory.max").write_text("4000000\n")
    own.write_text("0::/slurm/job_1/step_0\n")
    assert group_limits(own, root) == [4_000_000]


def test_groups_of_version_one(tmp_path: Path) -> None:
    root, own = tmp_path / "groups", tmp_path / "cgroup"
    (root / "memory" / "job").mkdir(parents=True)
    (root / "memory" / "job" / "memory.limit_in_bytes").write_text("5000\n")
    (root / "memory" / "memory.limit_in_bytes").write_text("9000\n")
    own.write_text("12:cpuset:/job\n4:memory:/job\n")
    assert group_limits(own, root) == [5000, 9000]


def test_no_groups_at_all(tmp_path: Path) -> None:
    assert group_limits(tmp_path / "none", tmp_path) == []
    (tmp_path / "cgroup").write_text("0::/\n")
    assert group_limits(tmp_path / "cgroup", tmp_path / "not_mounted") == []


def test_what_was_not_held_cannot_be_released() -> None:
    account = MemoryAccount(10)
    assert account.reserve("masks", 10)
    assert not account.reserve("masks", 1)
    with pytest.raises(ValueError, match="11 bytes released, 10 held"):
        account.release("masks", 11)
