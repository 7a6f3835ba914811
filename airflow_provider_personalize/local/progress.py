"""How far a job is: as it is stored, and as a person reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_FIRST_WORD, _PACE = 10.0, 60.0


@dataclass(slots=True)
class Progress:
    """Measures what a job reports. Rates are of the time since the first report: what came before is preparation."""

    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    _first: tuple[float, int] | None = None
    stored: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def report(self, done: int, total: int | None, unit: str) -> None:
        """Make ``stored`` say how far the job is.

        It then has ``done``, ``total`` (None where it is not known), ``unit``, ``seconds`` since the start, and, as
        soon as there is a rate, ``per_second`` and, with a total, ``seconds_left``.
        """
        now = self.clock()
        self._first = self._first or (now, done)
        self.stored = {"done": done, "total": total, "unit": unit, "seconds": round(now - self.started, 1)}
        began, before = self._first
        if done > before and now > began:
            rate = (done - before) / (now - began)
            self.stored["per_second"] = round(rate, 1)
            if total is not None:
                self.stored["seconds_left"] = round((total - done) / rate, 1)


@dataclass(slots=True)
class Pace:
    """When to write progress to a log: after ten seconds, then every minute, so that short jobs leave no lines."""

    clock: Callable[[], float] = time.monotonic
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._next = self.clock() + _FIRST_WORD

    def due(self) -> bool:
        if self.clock() < self._next:
            return False
        self._next = self.clock() + _PACE
        return True


def told(progress: Mapping[str, Any]) -> str:
    """``120,000 of 5,000,000 rows (2 %), 41,000 a second, 2 min left``; empty where nothing is known."""
    if "done" not in progress:
        return ""
    done, total, unit = progress["done"], progress.get("total"), progress.get("unit", "")
    parts = [f"{done:,} of {total:,} {unit} ({done / total:.0%})" if total else f"{done:,} {unit}"]
    if rate := progress.get("per_second"):
        parts.append(f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.2g} a second")
    if left := progress.get("seconds_left"):
        parts.append(f"{_duration(left)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
