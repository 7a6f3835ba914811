"""Interactions as training reads them: filtered, one event a (user, item) pair, positions instead of ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.recipes.model import TrainingConfig, TrainingError

# The service's own minima (developer guide, "Quotas").
LEAST_INTERACTIONS = 1000
LEAST_USERS = 25
LARGEST_EVENT_COUNT = 2**31 - 1  # LightFM counts in int32


@dataclass(frozen=True)
class Events:
    """Pairs of a user and an item, sorted by user, then from the newest interaction to the oldest.

    user_ids: those with an event, in byte order. item_ids: the catalogue, in byte order: every item of the
    Interactions and Items datasets, with or without an event.
    user, item: (nnz,) int32 positions. age: (nnz,) int32, 0 for a user's newest item, 1 for the one before it, ...
    """

    user_ids: pl.Series
    item_ids: pl.Series
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    age: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.user)

    def item_counts(self) -> NDArray[np.int64]:
        """(items,) how many users each item has."""
        return np.bincount(self.item, minlength=len(self.item_ids))

    def split(self, share: float = 0.1, least: int = 5) -> tuple[Events, Events]:
        """The events without the newest ``share`` of each user's (of users with ``least`` or more), and those."""
        lengths = np.bincount(self.user, minlength=len(self.user_ids))
        held = np.where(lengths >= least, np.maximum(1, (lengths * share).astype(np.int64)), 0)[self.user]
        newest = self.age < held
        older = Events(
            self.user_ids,
            self.item_ids,
            self.user[~newest],
            self.item[~newest],
            (self.age - held)[~newest].astype(np.int32),
        )
        return older, Events(self.user_ids, self.item_ids, self.user[newest], self.item[newest], self.age[newest])


def training_events(datasets: Datasets, config: TrainingConfig) -> Events:
    """Filter by event type and value, check the service's minima, collapse repetitions to the newest one.

    Raises:
        TrainingError: a column that the solution filters on is missing, or too little is left to train on.
    """
    interactions = datasets.interactions
    catalogue = [interactions["ITEM_ID"]]
    if datasets.items is not None:
        catalogue.append(datasets.items["ITEM_ID"])
    filtered = _filtered(interactions, config)
    user_ids = filtered["USER_ID"].unique().sort().alias("id")
    item_ids = pl.concat(catalogue).unique().sort().alias("id")
    pairs = (
        # Every id is in its table, so an enumeration's own numbers are the positions, and quicker to find.
        filtered.select(
            pl.col("USER_ID").cast(pl.Enum(user_ids)).to_physical().cast(pl.Int32).alias("user"),
            pl.col("ITEM_ID").cast(pl.Enum(item_ids)).to_physical().cast(pl.Int32).alias("item"),
            "TIMESTAMP",
        )
        .group_by("user", "item")
        .agg(pl.col("TIMESTAMP").max())
        .sort("user", "TIMESTAMP", "item", descending=[False, True, False])
    )
    _check_minima(filtered, pairs, config)
    if len(pairs) > LARGEST_EVENT_COUNT:
        raise TrainingError(
            f"Create failed. Dataset has {len(pairs)} interactions; LightFM takes {LARGEST_EVENT_COUNT}."
        )
    age = pairs.select(pl.int_range(pl.len(), dtype=pl.Int32).over("user")).to_series()
    return Events(
        user_ids,
        item_ids,
        pairs["user"].to_numpy(),
        pairs["item"].to_numpy(),
        age.to_numpy(),
    )


def _filtered(interactions: pl.DataFrame, config: TrainingConfig) -> pl.DataFrame:
    for name, wanted in (("EVENT_TYPE", config.event_type), ("EVENT_VALUE", config.event_value_threshold)):
        if wanted is not None and name not in interactions.columns:
            raise TrainingError(
                f"Create failed. The solution trains by {name}, which the Interactions schema does not have."
            )
    if config.event_type is not None:
        interactions = interactions.filter(pl.col("EVENT_TYPE") == config.event_type)
    if config.event_value_threshold is not None:
        interactions = interactions.filter(pl.col("EVENT_VALUE") >= config.event_value_threshold)
    return interactions


def _check_minima(filtered: pl.DataFrame, pairs: pl.DataFrame, config: TrainingConfig) -> None:
    few = len(pairs) < LEAST_INTERACTIONS
    if few and len(filtered.unique(["USER_ID", "ITEM_ID", "TIMESTAMP"])) < LEAST_INTERACTIONS:
        filters = []
        if config.event_type is not None:
            filters.append(f"event type: {config.event_type}")
        if config.event_value_threshold is not None:
            filters.append(f"event value: {config.event_value_threshold}")
        after = f" after filtering by {' and '.join(filters)}" if filters else ""
        raise TrainingError(f"Create failed. Dataset has fewer than {LEAST_INTERACTIONS} interactions{after}.")
    returning = filtered.group_by("USER_ID").len().filter(pl.col("len") >= 2).height
    if returning < LEAST_USERS:
        raise TrainingError(
            f"Create failed. Dataset has fewer than {LEAST_USERS} users with at least 2 interactions each."
        )
