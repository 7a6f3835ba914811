"""How every benchmark measures and tells: in turn, by medians, as a table and in ``build/bench.json``."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).parents[1] / "build" / "bench.json"


@dataclass(frozen=True)
class Figure:
    """One measured thing beside its floor or rival, in the same unit, and the bound that is claimed for their ratio."""

    name: str
    ours: float
    reference: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.reference

    @property
    def holds(self) -> bool:
        return (self.at_most is None or self.ratio <= self.at_most) and (
            self.at_least is None or self.ratio >= self.at_least
        )

    @property
    def bound(self) -> str:
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}" if self.at_least else ""


def interleaved(runs: Mapping[str, Callable[[], object]], times: int) -> dict[str, float]:
    """Median seconds of each run, after one of each that does not count; in turn, so that a slow moment meets all."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(times + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(measured) for name, measured in seconds.items()}


def report(key: str, figures: Sequence[Figure], reference: str) -> int:
    """Print the figures, keep them in ``build/bench.json`` under ``key``; returns 1 when a claim does not hold.

    Args:
        reference: what the figures stand beside, as the head of its column.
    """
    print(f"\n{key:44} {'ours':>15} {reference:>24} {'ratio':>8} {'claim':>8}")
    for figure in figures:
        ours, other = (f"{value:,.4g} {figure.unit}" for value in (figure.ours, figure.reference))
        missed = "" if figure.holds else "  missed"
        print(f"{figure.name:44} {ours:>15} {other:>24} {figure.ratio:>8.3g} {figure.bound:>8}{missed}")
    FILE.parent.mkdir(exist_ok=True)
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    kept[key] = {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {_processor()}",
        "python": platform.python_version(),
        "reference": reference,
        "figures": [asdict(figure) | {"ratio": figure.ratio, "holds": figure.holds} for figure in figures],
    }
    FILE.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return int(not all(figure.holds for figure in figures))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.processor()
