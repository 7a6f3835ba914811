"""Interactions as training reads them: filtered, one event a (user, item) pair, positions instead of ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets, distinct_ids
from airflow_provider_personalize.local.recipes.digest import mixed
from airflow_provider_personalize.local.recipes.model import EventParameter, TrainingConfig, TrainingError

# The service's own minimum (developer guide, "Quotas").
LEAST_USERS = 25
LARGEST_EVENT_COUNT = 2**31 - 1  # LightFM counts in int32
WEIGHT = " weight"  # a column that no schema can have


@dataclass(frozen=True)
class Events:
    """Pairs of a user and an item, sorted by user, then from the newest interaction to the oldest.

    user_ids: those with an event, in byte order. item_ids: the catalogue, in byte order: every item of the
    Interactions and Items datasets, with or without an event.
    user, item: (nnz,) int32 positions. age: (nnz,) int32, 0 for a user's newest item, 1 for the one before it, ...
    weight: (nnz,) float32, what the event counts, 1 for the event types that count most; of repetitions the most.
        Left out, all count alike.
    """

    user_ids: pl.Series
    item_ids: pl.Series
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    age: NDArray[np.int32]
    weight: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        if len(self.weight) < len(self.user):
            object.__setattr__(self, "weight", np.ones(len(self.user), np.float32))

    def __len__(self) -> int:
        return len(self.user)

    def item_counts(self) -> NDArray[np.int64]:
        """(items,) how many users each item has."""
        return np.bincount(self.item, minlength=len(self.item_ids))

    def split(self, share: float = 0.1, least: int = 5) -> tuple[Events, Events]:
        """The events without the newest ``share`` of each user's (of users with ``least`` or more), and those."""
        lengths = self.lengths()
        held = np.where(lengths >= least, np.maximum(1, (lengths * share).astype(np.int64)), 0)[self.user]
        newest = self.age < held
        return self._kept(~newest, held), self._kept(newest)

    def lengths(self) -> NDArray[np.int64]:
        """(users,) how many items each user has."""
        return np.bincount(self.user, minlength=len(self.user_ids))

    def of_users(self, users: NDArray[np.bool_]) -> Events:
        """The events of the users of a mask; the tables of ids stay."""
        return self._kept(users[self.user])

    def of_lengths(self, low: float, high: float) -> Events:
        """The events of users whose number of items lies within two percentiles (from 0 to 1) of all users'."""
        lengths = self.lengths()
        shortest, longest = limits(lengths[lengths > 0], low, high)
        return self.of_users((lengths >= shortest) & (lengths <= longest))

    def among(self, user_ids: pl.Series) -> Events:
        """The same events with another table of users, in byte order, that holds all of these."""
        positions = user_ids.search_sorted(self.user_ids).cast(pl.Int32).to_numpy()
        return Events(user_ids, self.item_ids, positions[self.user], self.item, self.age, self.weight)

    def hold_out_users(self, seed: int, share: float = 0.1, most: int = 2000) -> tuple[Events, Events, Events]:
        """The service's split: the events of most users; of the others the older nine tenths; and their newest tenth.

        A tenth of the users (at most ``most``) is drawn from those with two items or more.
        """
        lengths = self.lengths()
        able = np.flatnonzero(lengths >= 2)
        count = min(len(able), most, max(1, int(np.count_nonzero(lengths) * share)))
        test = np.zeros(len(lengths), np.bool_)
        test[np.random.default_rng(seed).choice(able, count, replace=False)] = True
        given, truth = self.of_users(test).split(share, least=2)
        return self.of_users(~test), given, truth

    def _kept(self, kept: NDArray[np.bool_], younger: NDArray[np.int64] | int = 0) -> Events:
        return Events(
            self.user_ids,
            self.item_ids,
            self.user[kept],
            self.item[kept],
            (self.age - younger)[kept].astype(np.int32),
            self.weight[kept],
        )

    def histories(self) -> Histories:
        """What each user of ``user_ids`` has."""
        indptr = np.searchsorted(self.user, np.arange(len(self.user_ids) + 1)).astype(np.int64)
        return Histories(indptr, self.item, self.weight)


@dataclass(frozen=True)
class Histories:
    """What n users have: user r the entries ``indptr[r]:indptr[r + 1]``, the newest first.

    indptr: (n + 1,) int64; item: (nnz,) int32 positions; weight: (nnz,) float32, without recency.
    """

    indptr: NDArray[np.int64]
    item: NDArray[np.int32]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def lengths(self) -> NDArray[np.int64]:
        """(n,) entries of each user."""
        return np.diff(self.indptr)

    def ages(self) -> NDArray[np.int64]:
        """(nnz,) 0 for a user's newest entry."""
        return np.arange(len(self.item)) - np.repeat(self.indptr[:-1], self.lengths())

    def take(self, users: NDArray[np.integer]) -> Histories:
        """Those of the given users, in that order."""
        lengths = self.lengths()[users]
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        entries = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - self.indptr[:-1][users], lengths)
        return Histories(indptr, self.item[entries], self.weight[entries])

    def digests(self) -> NDArray[np.uint64]:
        """(n,) a number each that is another one when the history is, but for one case in 2^64."""
        ages = self.ages().astype(np.uint64)
        entries = (self.item.astype(np.uint64) << np.uint64(32)) | self.weight.view(np.uint32)
        running = np.concatenate((np.zeros(1, np.uint64), np.cumsum(mixed(entries ^ mixed(ages)), dtype=np.uint64)))
        return mixed(running[self.indptr[1:]] - running[self.indptr[:-1]])


def limits(counts: NDArray[np.int64], low: float, high: float) -> tuple[int, int]:
    """The counts at two percentiles, from 0 to 1; the second is at least the first."""
    least, most = np.quantile(counts, (low, max(low, high)), method="inverted_cdf")
    return int(least), int(most)


def training_events(datasets: Datasets, config: TrainingConfig) -> Events:
    """Filter by event type and value, check the service's minima, collapse repetitions to the newest one.

    Raises:
        TrainingError: there is no Interactions dataset, it lacks a column that the solution filters on, or too little
            is left to train on.
    """
    if datasets.interactions.is_empty():
        raise TrainingError("Create failed. The dataset group has no imported Interactions dataset.")
    filtered = training_interactions(datasets.interactions, config)
    user_ids = distinct_ids(filtered["USER_ID"])
    events = _events(filtered, user_ids, catalogue(datasets))
    _check_minima(filtered, events, config)
    if len(events) > LARGEST_EVENT_COUNT:
        raise TrainingError(
            f"Create failed. Dataset has {len(events)} interactions; LightFM takes {LARGEST_EVENT_COUNT}."
        )
    return events


def catalogue(datasets: Datasets) -> pl.Series:
    """The ids of every item of the Interactions and Items datasets, in byte order."""
    named = [datasets.interactions["ITEM_ID"]]
    if datasets.items is not None:
        named.append(datasets.items["ITEM_ID"])
    return distinct_ids(*named)


def events_of_catalogue(datasets: Datasets, config: TrainingConfig, item_ids: pl.Series) -> Events:
    """The events with the items of a catalogue that are in the datasets now, be they few."""
    known = pl.DataFrame({"ITEM_ID": item_ids})
    filtered = training_interactions(datasets.interactions, config).join(known, on="ITEM_ID", how="semi")
    return _events(filtered, distinct_ids(filtered["USER_ID"]), item_ids)


def _events(filtered: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> Events:
    pairs = (
        # Every id is in its table, so an enumeration's own numbers are the positions, and quicker to find.
        filtered.select(
            pl.col("USER_ID").cast(pl.Enum(user_ids)).to_physical().cast(pl.Int32).alias("user"),
            pl.col("ITEM_ID").cast(pl.Enum(item_ids)).to_physical().cast(pl.Int32).alias("item"),
            "TIMESTAMP",
            pl.col(WEIGHT) if WEIGHT in filtered.columns else pl.lit(1.0, pl.Float32).alias(WEIGHT),
        )
        .group_by("user", "item")
        .agg(pl.col("TIMESTAMP").max(), pl.col(WEIGHT).max())
        .sort("user", "TIMESTAMP", "item", descending=[False, True, False])
    )
    age = pairs.select(pl.int_range(pl.len(), dtype=pl.Int32).over("user")).to_series()
    return Events(
        user_ids,
        item_ids,
        pairs["user"].to_numpy(),
        pairs["item"].to_numpy(),
        age.to_numpy(),
        pairs[WEIGHT].to_numpy(),
    )


def training_interactions(interactions: pl.DataFrame, config: TrainingConfig) -> pl.DataFrame:
    """The interactions of the event types and values that the solution trains on.

    Where event types weigh differently there is a column more, ``WEIGHT``: relative to the type that weighs most.
    """
    by_type = config.event_type is not None or bool(config.event_parameters)
    by_value = config.event_value_threshold is not None or any(
        parameter.value_threshold is not None for parameter in config.event_parameters
    )
    for name, wanted in (("EVENT_TYPE", by_type), ("EVENT_VALUE", by_value)):
        if wanted and name not in interactions.columns:
            raise TrainingError(
                f"Create failed. The solution trains by {name}, which the Interactions schema does not have."
            )
    if config.event_type is not None:
        interactions = interactions.filter(pl.col("EVENT_TYPE") == config.event_type)
    if config.event_value_threshold is not None:
        interactions = interactions.filter(pl.col("EVENT_VALUE") >= config.event_value_threshold)
    return _weighted(interactions, config.event_parameters) if config.event_parameters else interactions


def _weighted(interactions: pl.DataFrame, parameters: Sequence[EventParameter]) -> pl.DataFrame:
    """Events of the listed types alone, each from its own threshold on; a type of weight 0 does not train."""
    heaviest = max(parameter.weight for parameter in parameters)
    if heaviest <= 0:
        raise TrainingError("Create failed. eventsConfig gives every event type the weight 0.")
    parts = []
    for parameter in parameters:
        if parameter.weight > 0:
            wanted = pl.col("EVENT_TYPE") == parameter.event_type
            if parameter.value_threshold is not None:
                wanted &= pl.col("EVENT_VALUE") >= parameter.value_threshold
            weight = pl.lit(parameter.weight / heaviest, pl.Float32).alias(WEIGHT)
            parts.append(interactions.filter(wanted).with_columns(weight))
    return pl.concat(parts)


def _check_minima(filtered: pl.DataFrame, events: Events, config: TrainingConfig) -> None:
    least = config.minimum_interactions
    if len(events) < least and len(filtered.unique(["USER_ID", "ITEM_ID", "TIMESTAMP"])) < least:
        filters = []
        types = ", ".join(dict.fromkeys(parameter.event_type for parameter in config.event_parameters))
        if named := config.event_type or types:
            filters.append(f"event type: {named}")
        if config.event_value_threshold is not None:
            filters.append(f"event value: {config.event_value_threshold}")
        after = f" after filtering by {' and '.join(filters)}" if filters else ""
        raise TrainingError(f"Create failed. Dataset has fewer than {least} interactions{after}.")
    returning = filtered.group_by("USER_ID").len().filter(pl.col("len") >= 2).height
    if returning < LEAST_USERS:
        raise TrainingError(
            f"Create failed. Dataset has fewer than {LEAST_USERS} users with at least 2 interactions each."
        )
