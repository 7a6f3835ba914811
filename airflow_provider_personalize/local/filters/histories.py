"""What users did lately, by event type."""

from __future__ import annotations

from functools import cached_property, lru_cache

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
        self._items_of = lru_cache(maxsize=16)(self._make_items_of)

    @cached_property
    def users(self) -> pl.Series:
        """Those with an event, in byte order."""
        return self._interactions["USER_ID"].unique().sort()

    def items_of(self, types: Types) -> Csr:
        """For each of `users` the items of the events of those types, ascending and each once."""
        return self._items_of(self._known(types))

    def with_events(self, types: Types) -> pl.Series:
        """The ids of the users that have events of those types."""
        return self._of_types(self._known(types))["USER_ID"]

    @cached_property
    def _events(self) -> pl.DataFrame:
        rank = pl.int_range(pl.len()).over("USER_ID", "EVENT_TYPE")
        return (
            self._interactions.select("USER_ID", "ITEM_ID", "TIMESTAMP", pl.col("EVENT_TYPE").str.to_lowercase())
            .with_row_index()
            .sort("TIMESTAMP", "index", descending=True)
            .filter(rank < self._recent)
        )

    def _known(self, types: Types) -> frozenset[str] | None:
        """Those of the types that there are, so that few sets of them are told apart; None for any."""
        if isinstance(types, AnyValue) or "*" in types:
            return None
        return self._all_types & {type_.lower() for type_ in types}

    @cached_property
    def _all_types(self) -> frozenset[str]:
        return frozenset(self._events["EVENT_TYPE"].drop_nulls().unique())

    def _of_types(self, types: frozenset[str] | None) -> pl.DataFrame:
        return self._events if types is None else self._events.filter(pl.col("EVENT_TYPE").is_in(list(types)))

    def _make_items_of(self, types: frozenset[str] | None) -> Csr:
        events = self._of_types(types)
        user = encode(events["USER_ID"], self.users).to_numpy()
        item = self._items.positions(events["ITEM_ID"])
        keys = distinct((user * len(self._items) + item)[item >= 0])
        return Csr.from_keys(keys, len(self.users), len(self._items))
