"""The cores a process was given: the least of its affinity and of the CPU quotas above it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_personalize.local import cores
from airflow_provider_personalize.local.cores import available_cores


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 8 cores without control groups, and the folder that they would lie in."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "_PROCESS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "_GROUPS", tmp_path / "groups")
    return tmp_path / "groups"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_without_control_groups_the_affinity_counts(groups: Path) -> None:
    assert available_cores() == 8


@pytest.mark.parametrize(
    ("quota", "given"),
    [("max 100000", 8), ("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)],
)
def test_the_quota_of_the_group_bounds_them_rounded_down_and_never_to_none(
    groups: Path, quota: str, given: int
) -> None:
    write(groups.parent / "cgroup", "0::/pod/container")
    write(groups / "pod/container/cpu.max", quota)
    assert available_cores() == given


def test_a_group_above_may_be_the_tighter_one(groups: Path) -> None:
    write(groups.parent / "cgroup", "0::/pod/container")
    write(groups / "pod/container/cpu.max", "400000 100000")
    write(groups / "pod/cpu.max", "300000 100000")
    assert available_cores() == 3


@pytest.mark.parametrize(("quota", "given"), [("-1", 8), ("300000", 3)])
def test_the_first_version_of_control_groups_counts_too(groups: Path, quota: str, given: int) -> None:
    write(groups.parent / "cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker")
    write(groups / "cpu/docker/cpu.cfs_quota_us", quota)
    write(groups / "cpu/docker/cpu.cfs_period_us", "100000")
    assert available_cores() == given
