"""aws-personalized-ranking and aws-personalized-ranking-v2: a user's own order of a given list.

The model is that of user personalization; a row's items are gathered instead of searched for, and the softmax is over
the list itself. What the documents leave open is decided so: an id that stands in a list twice counts once; an item
that training never saw (unknown, or without interactions and metadata) gets score 0, outside the softmax, and comes
last, in the list's order; the whole list is answered, whatever ``numResults`` says; a filter leaves no item that the
model does not know, and changes no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets, encode
from airflow_provider_personalize.local.recipes.lists import ranks
from airflow_provider_personalize.local.recipes.model import Answer, Model, Row, TrainingConfig, units_of, valid
from airflow_provider_personalize.local.recipes.user_personalization import (
    UserPersonalization,
    UserPersonalizationModel,
)
from airflow_provider_personalize.local.scoring.pairs import score_pairs, softmax_of_lists
from airflow_provider_personalize.local.scoring.selection import Selection, paired

_LARGEST_BLOCK = 128  # lists differ in length, and the longest decides how wide an answer is


@dataclass(frozen=True)
class PersonalizedRankingModel(UserPersonalizationModel):
    """arrays and ids: those of user personalization."""

    def block_rows(self, num_results: int) -> int:
        return _LARGEST_BLOCK

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        rows, items, strangers = self._pairs(block)
        scored = self._placed(items)
        logits = np.full(len(rows), -np.inf)
        logits[scored] = self._logits(block, rows[scored], items[scored])
        order = np.lexsort((np.where(scored, items, 0), -logits, rows))  # stable, so strangers keep the list's order
        rows, items, logits = rows[order], items[order], logits[order]
        starts = np.flatnonzero(ranks(rows) == 0)
        shares = units_of(softmax_of_lists(logits, starts))
        if selection is not None:
            known = np.asarray(items < len(self.labels))
            kept = known.copy()
            kept[known] = selection.allows(rows[known], items[known])
            rows, items, shares = rows[kept], items[kept], shares[kept]
        rank = ranks(rows)
        ids = np.full((len(block), rank.max(initial=-1) + 1), -1, np.int32)
        scores = np.zeros(ids.shape, np.int64)
        ids[rows, rank], scores[rows, rank] = items, shares
        return Answer(ids, scores, {}, strangers)

    def _pairs(self, block: Sequence[Row]) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        """(rows, items, strangers): each row's distinct ids; an item beyond the catalogue is a stranger's number."""
        lists = [[] if row is None else row["itemList"] for row in block]
        rows = np.repeat(np.arange(len(lists)), [len(ids) for ids in lists])
        ids = list(chain.from_iterable(lists))
        items = encode(pl.Series([valid(id_) for id_ in ids], dtype=pl.String), self.ids["items"]).to_numpy().copy()
        numbers: dict[str, int] = {}
        for unknown in np.flatnonzero(items < 0).tolist():
            items[unknown] = len(self.labels) + numbers.setdefault(ids[unknown], len(numbers))
        _, first = np.unique(paired(rows, items), return_index=True)
        first.sort()
        return rows[first], items[first], list(numbers)

    def _placed(self, items: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(pairs,) the items that training saw: factors of the others are zero."""
        placed: NDArray[np.bool_] = items < len(self.labels)
        distinct, where = np.unique(items[placed], return_inverse=True)
        placed[placed] = np.any(self.arrays["item_factors"][distinct] != 0, axis=1)[where]
        return placed

    def _logits(self, block: Sequence[Row], rows: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
        """(pairs,) taste where the user is known, popularity where not."""
        queries, known = self.queries(block)
        scale = np.float32(1 / self.manifest["temperature"])
        logits = self.arrays["popularity"][items].astype(np.float64)
        tasted = known[rows]
        logits[tasted] = score_pairs(
            queries * scale, self.arrays["item_factors"], rows[tasted], items[tasted]
        ) + self.arrays["item_bias"][items[tasted]] * np.float64(scale)
        return logits


@dataclass(frozen=True)
class PersonalizedRanking:
    """The recipe; it trains as ``personalization`` does."""

    name: str
    personalization: UserPersonalization
    model: type[Model] = PersonalizedRankingModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> PersonalizedRankingModel:
        trained = self.personalization.fit(datasets, config)
        return PersonalizedRankingModel(self.name, trained.manifest, trained.arrays, trained.ids)
