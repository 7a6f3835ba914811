"""Exploration: new items in the place of some recommendations, so that something is learnt of them.

Each slot of a row is explored with probability ``explorationWeight``. Eligible are items that were created at most
``explorationItemAgeCutOff`` days before the newest interaction. For a row with e explored slots, 4 e items are drawn
with chances that fall with their interactions, 1 / (1 + interactions), and the e of them that suit the user best are
shown. Draws depend on the seed and the row's content alone. Scores stay the softmax, so they no longer only fall.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import orjson
from numpy.typing import NDArray

from airflow_provider_personalize.batch.scores import UNITS_PER_ONE
from airflow_provider_personalize.local.recipes.digest import uniform
from airflow_provider_personalize.local.recipes.lists import ranks
from airflow_provider_personalize.local.recipes.model import Row
from airflow_provider_personalize.local.scoring.selection import Selection, among, distinct, paired

_DRAWS = 4  # items drawn for one that is shown

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Lottery:
    """Draws one of e things by its chance, most of them without a search.

    ends: (e,) the running sum of chances, up to 1. starts: for each of equal parts of [0, 1), what its beginning draws.
    """

    ends: NDArray[np.float64]
    starts: Int32

    @classmethod
    def of(cls, chances: NDArray[np.float64]) -> Lottery:
        """chances: (e,) beside each other; their sum need not be 1."""
        ends = np.cumsum(chances)
        ends = ends / ends[-1:]
        parts = 2 * len(ends)
        return cls(ends, np.searchsorted(ends, np.arange(parts) / parts, side="right").astype(np.int32))

    def drawn(self, numbers: NDArray[np.float64]) -> Int64:
        """What numbers in [0, 1) draw."""
        found = self.starts[(numbers * len(self.starts)).astype(np.int64)].astype(np.int64)
        found += self.ends[found] <= numbers
        behind = np.flatnonzero(self.ends[found] <= numbers)
        found[behind] = np.searchsorted(self.ends, numbers[behind], side="right")
        return found


@dataclass(frozen=True)
class Exploration:
    """share: of slots that are explored. items: (e,) eligible positions. lottery: of these."""

    share: float
    items: Int64
    lottery: Lottery
    seed: int

    def applied(
        self,
        block: Sequence[Row],
        ids: Int32,
        scores: Int64,
        selection: Selection,
        score: Callable[[Int64, Int64], Int64],
    ) -> tuple[Int32, Int64]:
        """(n, k) ids and scores with some replaced.

        Args:
            ids, scores: (n, k) by relevance.
            score: (rows, items) -> the scores of those pairs.
        """
        if not len(self.items) or not ids.size:
            return ids, scores
        keys = _keys(block, self.seed)
        slots = np.arange(ids.shape[1], dtype=np.uint64)
        explored = (uniform(keys[:, None], slots) < self.share) & (ids >= 0)
        rows, items, gained = self._chosen(keys, explored.sum(axis=1), selection, score)
        # The first slots of a row that are to be explored get what was found, and the others the rest by relevance.
        into, columns = np.nonzero(explored)
        kept = ranks(into) < np.bincount(rows, minlength=len(ids))[into]
        into, columns = into[kept], columns[kept]
        free = ids >= 0
        free[into, columns] = False
        shown = np.sort(paired(rows, items))
        rest = (ids >= 0) & ~among(paired(np.arange(len(ids))[:, None], ids), shown)
        rest_rows, rest_columns = np.nonzero(rest)
        first = ranks(rest_rows) < free.sum(axis=1)[rest_rows]
        new_ids, new_scores = np.full_like(ids, -1), np.zeros_like(scores)
        for source, new in ((ids, new_ids), (scores, new_scores)):
            new[free] = source[rest_rows[first], rest_columns[first]]
        new_ids[into, columns], new_scores[into, columns] = items, gained
        return new_ids, new_scores

    def _chosen(
        self, keys: NDArray[np.uint64], wanted: Int64, selection: Selection, score: Callable[[Int64, Int64], Int64]
    ) -> tuple[Int64, Int64, Int64]:
        """Rows, items and scores of what is shown, by row and descending score; at most ``wanted`` a row."""
        columns = np.arange(_DRAWS * wanted.max(initial=0), dtype=np.uint64) + np.uint64(1 << 32)
        rows, at = np.nonzero(np.arange(len(columns)) < _DRAWS * wanted[:, None])
        pairs = distinct(paired(rows, self.items[self.lottery.drawn(uniform(keys[rows], columns[at]))]))
        rows, items = pairs >> 32, pairs & 0xFFFFFFFF
        allowed = selection.allows(rows, items)
        rows, items = rows[allowed], items[allowed]
        scores = score(rows, items)
        order = np.argsort(rows * (UNITS_PER_ONE + 1) - scores, kind="stable")
        rows, items, scores = rows[order], items[order], scores[order]
        first = ranks(rows) < wanted[rows]
        return rows[first], items[first], scores[first]


def exploration(
    share: float, cut_off_days: float, age_days: NDArray[np.float32], counts: NDArray[np.float32], seed: int
) -> Exploration:
    """Of a catalogue.

    Args:
        age_days: (items,) from an item's creation to the newest interaction.
        counts: (items,) users of each item.
    """
    eligible = np.flatnonzero(age_days <= cut_off_days)
    return Exploration(share, eligible, Lottery.of(1 / (1 + counts[eligible].astype(np.float64))), seed)


def _keys(block: Sequence[Row], seed: int) -> NDArray[np.uint64]:
    """(n,) a number for each row, by its content. That some of many rows share one does no harm: they draw alike."""
    sums = np.fromiter((crc32(_text(row)) for row in block), np.uint64, len(block))
    return sums | np.uint64(seed % (1 << 32) << 32)


def _text(row: Row) -> bytes:
    try:
        return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # half a surrogate pair
        return json.dumps(row, sort_keys=True).encode()
