"""How many cores this process was given, which is not how many the machine has."""

from __future__ import annotations

import os
from pathlib import Path

_PROCESS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Cores this process may keep busy: by affinity, and by the CPU quota of its control groups, rounded down; 1 at
    least.

    A container's limit (``docker run --cpus``, Kubernetes' ``limits.cpu``) is such a quota. More threads than that are
    stopped by the kernel for most of every tenth of a second.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, int(min(_quotas(), default=affinity))))


def _quotas() -> list[float]:
    """Cores that each control group of this process, and each above it, may use (cgroups(7): v2, then v1)."""
    try:
        entries = [line.split(":", 2) for line in _PROCESS.read_text(encoding="utf-8").splitlines()]
    except OSError:  # not Linux
        return []
    quotas = []
    for _, controllers, path in entries:
        if not controllers:
            root, read = _GROUPS, _v2
        elif "cpu" in controllers.split(","):
            root, read = _GROUPS / "cpu", _v1
        else:
            continue
        group = root / path.lstrip("/")
        quotas += [read(each) for each in (group, *group.parents) if each.is_relative_to(root)]
    return [quota for quota in quotas if quota is not None]


def _v2(group: Path) -> float | None:
    text = _read(group / "cpu.max").split()  # "200000 100000", or "max 100000" for no limit
    return int(text[0]) / int(text[1]) if text and text[0] != "max" else None


def _v1(group: Path) -> float | None:
    quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
