"""How many threads may compute: the cores that this process is given, not those that the machine has."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "PERSONALIZE_THREADS"  # at most so many, where several processes share the cores


def cores() -> int:
    """The least of the processor affinity, the control group's quota and ``PERSONALIZE_THREADS``; at least 1."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get(ENVIRONMENT, "")
    limits = [given, quota(Path("/sys/fs/cgroup")), int(asked) if asked.isdecimal() else None]
    return max(1, int(min(limit for limit in limits if limit is not None)))


def quota(group: Path) -> float | None:
    """Processors that a container's control group grants, version 2 or 1; None where it sets no limit."""
    try:
        granted, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            granted = (group / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        return float(granted) / float(period) if float(granted) > 0 else None
    except ValueError:  # "max"
        return None
