"""What users did lately, by event type."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from itertools import chain

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.batch.filter_expression import AnyValue
from airflow_provider_personalize.local.datasets.dataset import distinct_ids, encode
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
        return distinct_ids(self._interactions["USER_ID"])

    def items_of(self, types: Types) -> Csr:
        """For each of `users` the items of the events of those types, ascending and each once."""
        return self._items_of(self._known(types))

    def with_events(self, types: Types) -> pl.Series:
        """The ids of the users that have events of those types."""
        return self.users.gather(self._of_types(self._known(types))["user"].unique())

    @cached_property
    def _events(self) -> pl.DataFrame:
        """user, item: positions in `users` and among the items, -1 where it is none of them. EVENT_TYPE: as written."""
        user = encode(self._interactions["USER_ID"], self.users)
        item = pl.Series(self._items.positions(self._interactions["ITEM_ID"]))
        events = pl.DataFrame([user.alias("user"), item.alias("item"), self._interactions["EVENT_TYPE"]])
        old = self._old(user.to_numpy())
        if not len(old):
            return events
        kept = np.ones(len(events), np.bool_)
        kept[old] = False
        return events.filter(kept)

    def _old(self, user: NDArray[np.int64]) -> NDArray[np.int64]:
        """The events that are beyond what is seen."""
        # Most users have too few events of all types together, which is quicker to see.
        several = np.flatnonzero(np.bincount(user)[user] > self._recent)
        if not len(several):
            return several
        events = self._interactions[several].select(
            pl.Series("index", several),
            pl.Series("user", user[several]),
            pl.col("EVENT_TYPE").str.to_lowercase().alias("type"),
            "TIMESTAMP",
        )
        crowded = events.filter(pl.len().over("user", "type") > self._recent)
        rank = pl.int_range(pl.len()).over("user", "type")
        return crowded.sort("TIMESTAMP", "index", descending=True).filter(rank >= self._recent)["index"].to_numpy()

    def _known(self, types: Types) -> frozenset[str] | None:
        """Those of the types that there are, so that few sets of them are told apart; None for any."""
        if isinstance(types, AnyValue) or "*" in types:
            return None
        return frozenset(self._spellings) & {type_.lower() for type_ in types}

    @cached_property
    def _spellings(self) -> Mapping[str, list[str]]:
        """Each type as events have it."""
        spellings: dict[str, list[str]] = {}
        for spelling in self._interactions["EVENT_TYPE"].drop_nulls().unique():
            spellings.setdefault(spelling.lower(), []).append(spelling)
        return spellings

    def _of_types(self, types: frozenset[str] | None) -> pl.DataFrame:
        if types is None:
            return self._events
        spellings = chain.from_iterable(self._spellings[type_] for type_ in types)
        return self._events.filter(pl.col("EVENT_TYPE").is_in(list(spellings)))

    def _make_items_of(self, types: frozenset[str] | None) -> Csr:
        events = self._of_types(types).filter(pl.col("item") >= 0)
        keys = distinct(events["user"].to_numpy() * len(self._items) + events["item"].to_numpy())
        return Csr.from_keys(keys, len(self.users), len(self._items))
