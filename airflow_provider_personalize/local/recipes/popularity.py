"""aws-popularity-count and aws-trending-now: one list for everyone, counted.

Popularity-Count ranks items by how many users have them. Trending-Now ranks them by how fast their interactions
increase from one interval of ``trend_discovery_frequency`` to the next; the service documents the intervals and that it
falls back to popular items without interactions in the last two of them, the rate is ours:

    (c1 - c0) / sqrt(c0 + 1)

with c1 interactions in the newest interval, c0 in the one before. Both count what a solution trains on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets, encode
from airflow_provider_personalize.local.recipes.events import (
    Events,
    events_of_catalogue,
    training_events,
    training_interactions,
)
from airflow_provider_personalize.local.recipes.lists import log_shares, most_popular
from airflow_provider_personalize.local.recipes.model import Answer, Model, Row, TrainingConfig, present
from airflow_provider_personalize.local.recipes.trial import measured
from airflow_provider_personalize.local.scoring.selection import Selection

INTERVALS: Mapping[str, int] = {  # seconds
    "30 minutes": 1800,
    "1 hour": 3600,
    "2 hours": 7200,
    "3 hours": 10_800,
    "1 day": 86_400,
}
TRENDS = 100  # items that the service judges predicted trends by (developer guide, "Metric definitions")


@dataclass(frozen=True)
class PopularityModel(Model):
    """arrays: popularity (i,), whose order is the answer. ids: items."""

    answers_with: ClassVar[str] = "items"

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        ids = np.full((len(block), min(num_results, len(self.labels))), -1, np.int32)
        rows = np.flatnonzero(present(block))
        if len(rows):
            ids[rows] = most_popular(self.arrays["popularity"], rows, ids.shape[1], selection or Selection())
        return Answer(ids, None, {})


@dataclass(frozen=True)
class PopularityCount:
    """The recipe; it has no hyperparameters."""

    name: str = "aws-popularity-count"
    model: type[Model] = PopularityModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> PopularityModel:
        events = training_events(datasets, config)

        def counted(part: Events, manifest: Mapping[str, Any]) -> PopularityModel:
            popularity = log_shares(part.item_counts())
            return PopularityModel(self.name, manifest, {"popularity": popularity}, {"items": part.item_ids})

        metrics = measured(lambda part: counted(part, {}), events, config.seed)
        return counted(events, {**config.manifest(), "counts": _counts(events), "metrics": metrics})


@dataclass(frozen=True)
class TrendingNow:
    """The recipe. It trains, as in the service, and has no batch jobs there."""

    name: str = "aws-trending-now"
    model: type[Model] = PopularityModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> PopularityModel:
        seconds = INTERVALS[config.choice("trend_discovery_frequency", "2 hours", *INTERVALS)]
        events = training_events(datasets, config)
        interactions = training_interactions(datasets.interactions, config)

        def of(part: Events, seen: pl.DataFrame, manifest: Mapping[str, Any]) -> PopularityModel:
            counts = _last_two_intervals(seen, part.item_ids, seconds)
            trending, popularity = bool(counts.any(axis=1).all()), log_shares(part.item_counts())
            if trending:
                # Items that increase alike, most of them not at all, are ordered by popularity.
                popularity = _positions(np.lexsort((np.arange(len(popularity)), -popularity, -_increase(counts))))
            ids = {"items": part.item_ids}
            return PopularityModel(self.name, {**manifest, "trending": trending}, {"popularity": popularity}, ids)

        def of_users(part: Events) -> PopularityModel:
            users = part.user_ids.filter(pl.Series(part.lengths() > 0))
            return of(part, interactions.filter(pl.col("USER_ID").is_in(users.implode())), {})

        metrics = dict(measured(of_users, events, config.seed))
        before = interactions.filter(_age() >= seconds)
        if len(before):
            part = events_of_catalogue(replace(datasets, interactions=before), config, events.item_ids)
            earlier = of(part, before, {})
            found = earlier.answer([{}], TRENDS).ids[0]
            counts = _last_two_intervals(interactions, events.item_ids, seconds)
            metrics["trend_prediction_accuracy"] = round(trend_accuracy(found, counts[1] - counts[0]), 4)
        return of(events, interactions, {**config.manifest(), "counts": _counts(events), "metrics": metrics})


def trend_accuracy(found: NDArray[np.int32], growth: NDArray[np.int64]) -> float:
    """Of what the ``TRENDS`` items that grew most have grown, the share that those found have; 0 where nothing grew.

    found: positions, -1 for none. growth: (items,) interactions more than an interval before.
    """
    risen = np.maximum(growth, 0)
    most = np.sort(risen)[::-1][:TRENDS].sum()
    return float(risen[found[found >= 0][:TRENDS]].sum() / most) if most else 0.0


def _counts(events: Events) -> dict[str, int]:
    return {"users": len(events.user_ids), "items": len(events.item_ids), "interactions": len(events)}


def _increase(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    before, now = counts
    rate: NDArray[np.float64] = (now - before) / np.sqrt(before + 1)
    return rate


def _age() -> pl.Expr:
    """Seconds from an interaction to the newest."""
    return pl.col("TIMESTAMP").max() - pl.col("TIMESTAMP")


def _last_two_intervals(interactions: pl.DataFrame, item_ids: pl.Series, seconds: int) -> NDArray[np.int64]:
    """(2, items) interactions in the newest interval but one, and in the newest, which ends with the last event."""
    age = interactions.select(_age() // seconds).to_series().to_numpy()
    item = encode(interactions["ITEM_ID"], item_ids).to_numpy()
    return np.stack([np.bincount(item[age == interval], minlength=len(item_ids)) for interval in (1, 0)])


def _positions(order: NDArray[np.int64]) -> NDArray[np.float32]:
    """(items,) a number for each item that falls along ``order``; float32 holds any of 16 million exactly."""
    falling = np.empty(len(order), np.float32)
    falling[order] = np.arange(len(order), 0, -1)
    return falling
