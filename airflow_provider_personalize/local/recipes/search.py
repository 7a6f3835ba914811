"""Hyperparameter optimization: random draws from the ranges, judged by one number; the defaults are the first draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from airflow_provider_personalize.local.recipes.model import Search

JUDGED = "normalized_discounted_cumulative_gain_at_25"  # where there is no likelihood to judge by


def draws(search: Search | None, names: tuple[str, ...], seed: int) -> list[dict[str, str]]:
    """The settings to try: at first none, for the defaults, then distinct ones; fewer than allowed if there are fewer.

    Args:
        search: None for the defaults alone.
        names: the hyperparameters that have an effect; ranges of others are left alone.
    """
    if search is None:
        return [{}]
    random = np.random.default_rng(seed)
    tried: list[dict[str, str]] = [{}]
    ranges = {name: search.ranges[name] for name in names if name in search.ranges}
    for _ in range(20 * search.jobs):
        if len(tried) >= search.jobs or not ranges:
            break
        drawn = {name: _drawn(random, bounds) for name, bounds in ranges.items()}
        if drawn not in tried:
            tried.append(drawn)
    return tried


def best_of(settings: list[dict[str, str]], judge: Callable[[Mapping[str, str]], float]) -> dict[str, str]:
    """The setting with the least ``judge``; of equals the first."""
    return min(settings, key=judge)


def best_by_metrics(
    settings: list[dict[str, str]], measure: Callable[[Mapping[str, str]], Mapping[str, float]]
) -> tuple[dict[str, str], Mapping[str, float]]:
    """The setting whose model has the greatest NDCG at 25, of equals the first; and all that was measured of it."""
    measured = [measure(setting) for setting in settings]
    best = max(range(len(settings)), key=lambda number: measured[number][JUDGED])
    return settings[best], measured[best]


def _drawn(random: np.random.Generator, bounds: tuple[int, int] | tuple[float, float] | tuple[str, ...]) -> str:
    low, high = bounds[0], bounds[-1]
    if isinstance(low, str):
        return str(random.choice(np.array(bounds)))
    if isinstance(low, int) and isinstance(high, int):
        return str(random.integers(low, high + 1))
    return repr(float(random.uniform(float(low), float(high))))
