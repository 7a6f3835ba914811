"""Hyperparameter optimization: random draws from the ranges, judged by one number; the first is what nobody tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

JUDGED = "normalized_discounted_cumulative_gain_at_25"  # where there is no likelihood to judge by


@dataclass(frozen=True)
class Whole:
    """Whole numbers from ``low`` to ``high``, both among them."""

    low: int
    high: int

    def nearest(self, text: str) -> str:
        """The value of the range that is nearest to one that may lie outside."""
        return str(min(max(int(text), self.low), self.high))

    def drawn(self, random: np.random.Generator) -> str:
        return str(random.integers(self.low, self.high + 1))


@dataclass(frozen=True)
class Real:
    """Numbers from ``low`` to ``high``."""

    low: float
    high: float

    def nearest(self, text: str) -> str:
        return repr(min(max(float(text), self.low), self.high))

    def drawn(self, random: np.random.Generator) -> str:
        return repr(float(random.uniform(self.low, self.high)))


@dataclass(frozen=True)
class Choice:
    """One of some values, at least one."""

    values: tuple[str, ...]

    def nearest(self, text: str) -> str:
        """The value itself where it is listed, in whatever case, else the first."""
        return next((value for value in self.values if value.lower() == text.lower()), self.values[0])

    def drawn(self, random: np.random.Generator) -> str:
        return str(random.choice(np.array(self.values)))


@dataclass(frozen=True)
class Search:
    """Which hyperparameters to search, and how long.

    jobs: the most models to train for it.
    """

    ranges: Mapping[str, Whole | Real | Choice]
    jobs: int


def draws(search: Search | None, starts: Mapping[str, str], seed: int) -> list[dict[str, str]]:
    """The distinct settings to try, the starts first, as near as the ranges let them be; fewer if there are fewer.

    Args:
        search: None for one setting that changes nothing.
        starts: the hyperparameters that have an effect, with the values that are trained with unless they are tuned;
            ranges of others are left alone.
    """
    if search is None:
        return [{}]
    random = np.random.default_rng(seed)
    ranges = {name: search.ranges[name] for name in starts if name in search.ranges}
    tried = [{name: bounds.nearest(starts[name]) for name, bounds in ranges.items()}]
    for _ in range(20 * search.jobs):
        if len(tried) >= search.jobs or not ranges:
            break
        drawn = {name: bounds.drawn(random) for name, bounds in ranges.items()}
        if drawn not in tried:
            tried.append(drawn)
    return tried


def best_by_metrics(
    settings: list[dict[str, str]], measure: Callable[[Mapping[str, str]], Mapping[str, float]]
) -> tuple[dict[str, str], Mapping[str, float]]:
    """The setting whose model has the greatest NDCG at 25, of equals the first; and all that was measured of it."""
    measured = [measure(setting) for setting in settings]
    best = max(range(len(settings)), key=lambda number: measured[number][JUDGED])
    return settings[best], measured[best]
