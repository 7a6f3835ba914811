"""aws-sims: items that occur together in users' histories, counted.

The service documents the parameters, not the formula; this one is ours. With C(i, j) the users who have both items and
n(j) the users who have j,

    similarity(j | i) = C(i, j) / n(j) ** popularity_discount_factor        where C(i, j) >= min_cointeraction_count

so that 0 counts, 0.5 is the order of the cosine and 1 that of lift; a count of 0 is no neighbour. Asked about an item
without any neighbour, the answer is what is popular.

The percentiles cap histories. A user with fewer items than the least is not counted; of one with more than the most,
the newest are. An item's are percentiles of interactions: most of 0.9 says that nine in ten interactions are with items
of so many users, and of an item with more, those users are counted in whose histories it is newest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.recipes.events import Events, limits, training_events
from airflow_provider_personalize.local.recipes.lists import first_allowed, log_shares, most_popular, ranks, without_own
from airflow_provider_personalize.local.recipes.model import Answer, Model, Row, TrainingConfig, present
from airflow_provider_personalize.local.recipes.search import best_by_metrics, draws
from airflow_provider_personalize.local.recipes.trial import measured
from airflow_provider_personalize.local.scoring.selection import Csr, Selection

MOST_NEIGHBOURS = 1000  # kept of an item
_HELD_PAIRS = 1 << 23  # of the product at once


@dataclass(frozen=True)
class SimsModel(Model):
    """arrays: neighbour_starts (i + 1,) int64 and neighbours int32, a list an item, best first; popularity (i,)."""

    answers_with: ClassVar[str] = "items"

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        selection = selection or Selection()
        ids = np.full((len(block), min(num_results, len(self.labels))), -1, np.int32)
        neighbours = Csr(self.arrays["neighbour_starts"], self.arrays["neighbours"])
        items = self.find("items", block, "itemId")
        lists = neighbours.take(items)
        listed = np.diff(lists.indptr) > 0
        ids[:] = first_allowed(lists, ids.shape[1], selection)
        others = np.flatnonzero(~listed & present(block))
        if len(others):
            popular = most_popular(self.arrays["popularity"], others, ids.shape[1] + 1, selection)
            ids[others] = without_own(popular, items[others])
        return Answer(ids, None, {})


@dataclass(frozen=True)
class Sims:
    """The recipe. It ignores metadata."""

    name: str = "aws-sims"
    model: type[Model] = SimsModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> SimsModel:
        of_users = (
            config.real("min_user_history_length_percentile", 0.005, 0, 1),
            config.real("max_user_history_length_percentile", 0.995, 0, 1),
        )
        of_items = (
            config.real("min_item_interaction_count_percentile", 0.01, 0, 1),
            config.real("max_item_interaction_count_percentile", 0.9, 0, 1),
        )
        discount, least = _weighing(config)  # a value out of its range is told before anything is counted
        starts = {"popularity_discount_factor": str(discount), "min_cointeraction_count": str(least)}
        settings = draws(config.search, starts, config.seed)
        events = training_events(datasets, config)

        def counted(part: Events, setting: Mapping[str, str], manifest: Mapping[str, Any]) -> SimsModel:
            discount, least = _weighing(config.tuned(setting))
            matrix = _matrix(part, _counted(part, of_users, of_items))
            starts, neighbours = _neighbours(matrix, discount, max(least, 1))
            arrays: dict[str, NDArray[Any]] = {
                "neighbour_starts": starts,
                "neighbours": neighbours,
                "popularity": log_shares(part.item_counts()),
            }
            return SimsModel(self.name, manifest, arrays, {"items": part.item_ids})

        def measure(setting: Mapping[str, str]) -> Mapping[str, float]:
            return measured(lambda part: counted(part, setting, {}), events, config.seed)

        tuned, metrics = best_by_metrics(settings, measure)
        counts = {"users": len(events.user_ids), "items": len(events.item_ids), "interactions": len(events)}
        manifest = {**config.manifest(), "counts": counts, "metrics": metrics}
        if config.search is not None:
            manifest["tuned_hyperparameters"] = tuned
        return counted(events, tuned, manifest)


def _weighing(config: TrainingConfig) -> tuple[float, int]:
    """How much popularity takes from a neighbour, and the least users of one."""
    return config.real("popularity_discount_factor", 0.5, 0, 1), config.whole("min_cointeraction_count", 3, 0, 10)


def _counted(events: Events, of_users: tuple[float, float], of_items: tuple[float, float]) -> NDArray[np.bool_]:
    """(nnz,) the events that the percentiles leave."""
    lengths, counts = np.bincount(events.user)[events.user], events.item_counts()[events.item]
    shortest, longest = limits(lengths[events.age == 0], *of_users)
    fewest, most = limits(counts, *of_items)
    newest_first = np.lexsort((events.user, events.age, events.item))
    rank = np.empty(len(events), np.int64)
    rank[newest_first] = ranks(events.item[newest_first].astype(np.int64))
    kept: NDArray[np.bool_] = (lengths >= shortest) & (events.age < longest) & (counts >= fewest) & (rank < most)
    return kept


def _matrix(events: Events, kept: NDArray[np.bool_]) -> Any:
    """(users, items) scipy CSR int32 of ones."""
    from scipy.sparse import csr_matrix

    user, item = events.user[kept], events.item[kept]
    return csr_matrix((np.ones(len(user), np.int32), (user, item)), (len(events.user_ids), len(events.item_ids)))


def _neighbours(matrix: Any, discount: float, least: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(items + 1,) where each item's list begins, and the lists."""
    by_item = matrix.T.tocsr()
    counts = np.diff(by_item.indptr)
    weights = np.maximum(counts, 1) ** -discount
    lengths, lists = np.zeros(len(counts), np.int64), [np.empty(0, np.int32)]
    for start, stop in _blocks(matrix, by_item):
        together = by_item[start:stop] @ matrix
        row = np.repeat(np.arange(start, stop), np.diff(together.indptr))
        column, count = together.indices, together.data
        kept = (count >= least) & (row != column)
        row, column, count = row[kept], column[kept], count[kept]
        order = np.lexsort((column, -count * weights[column], row))
        row, column = row[order], column[order]
        near = ranks(row) < MOST_NEIGHBOURS
        lengths += np.bincount(row[near], minlength=len(counts))
        lists.append(column[near].astype(np.int32))
    return np.concatenate(([0], np.cumsum(lengths))), np.concatenate(lists)


def _blocks(matrix: Any, by_item: Any) -> Iterator[tuple[int, int]]:
    """Ranges of items whose rows of the product are few enough to hold at once; one row may be alone."""
    # An item's row has at most as many entries as its users' histories together, nor more than there are items.
    entries = np.minimum(by_item @ np.diff(matrix.indptr).astype(np.int64), by_item.shape[0])
    ends = np.cumsum(entries)
    start = 0
    while start < len(ends):
        base = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + _HELD_PAIRS, side="right")))
        yield start, stop
        start = stop
