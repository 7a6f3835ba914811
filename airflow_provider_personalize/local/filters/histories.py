"""What users did lately, by event type."""

from __future__ import annotations

from functools import cached_property, lru_cache
from threading import Lock

import polars as pl

from airflow_provider_personalize.batch.filter_expression import AnyValue
from airflow_provider_personalize.local.datasets.dataset import encode
from airflow_provider_personalize.local.filters.bitsets import Universe
from airflow_provider_personalize.local.scoring.selection import Csr, distinct

Types = tuple[str, ...] | AnyValue


class Histories:
    """The latest events of each user and type; types ignore case.

    Args:
        interactions: USER_ID, ITEM_ID, TIMESTAMP, EVENT_TYPE. Of events of one time, the one further down is later.
        items: the catalogue.
        recent: how many events of one user and type are seen.
    """

    def __init__(self, interactions: pl.DataFrame, items: Universe, recent: int) -> None:
        self._interactions = interactions
        self._items = items
        self._recent = recent
        self._lock = Lock()  # threads that ask at once wait for the first, instead of all reading the interactions
        self._items_of = lru_cache(maxsize=16)(self._make_items_of)

    @cached_property
    def users(self) -> pl.Series:
        """Those with an event, in byte order."""
        return self._interactions["USER_ID"].unique().sort()

    def items_of(self, types: Types) -> Csr:
        """For each of `users` the items of the events of those types, ascending and each once."""
        with self._lock:
            return self._items_of(self._known(types))

    def with_events(self, types: Types) -> pl.Series:
        """The ids of the users that have events of those types."""
        with self._lock:
            return self.users.gather(self._of_types(self._known(types))["user"].unique())

    @cached_property
    def _events(self) -> pl.DataFrame:
        """user, item: positions in `users` and among the items, -1 where it is none of these. type: in lower case."""
        events = self._interactions.select(
            encode(self._interactions["USER_ID"], self.users).alias("user"),
            pl.Series("item", self._items.positions(self._interactions["ITEM_ID"])),
            pl.col("EVENT_TYPE").str.to_lowercase().alias("type"),
            "TIMESTAMP",
        ).with_row_index()
        crowded = events.filter(pl.len().over("user", "type") > self._recent)
        rank = pl.int_range(pl.len()).over("user", "type")
        old = crowded.sort("TIMESTAMP", "index", descending=True).filter(rank >= self._recent)
        return events.join(old, on="index", how="anti").select("user", "item", "type")

    def _known(self, types: Types) -> frozenset[str] | None:
        """Those of the types that there are, so that few sets of them are told apart; None for any."""
        if isinstance(types, AnyValue) or "*" in types:
            return None
        return self._all_types & {type_.lower() for type_ in types}

    @cached_property
    def _all_types(self) -> frozenset[str]:
        return frozenset(self._events["type"].drop_nulls().unique())

    def _of_types(self, types: frozenset[str] | None) -> pl.DataFrame:
        return self._events if types is None else self._events.filter(pl.col("type").is_in(list(types)))

    def _make_items_of(self, types: frozenset[str] | None) -> Csr:
        events = self._of_types(types).filter(pl.col("item") >= 0)
        keys = distinct(events["user"].to_numpy() * len(self._items) + events["item"].to_numpy())
        return Csr.from_keys(keys, len(self.users), len(self._items))
