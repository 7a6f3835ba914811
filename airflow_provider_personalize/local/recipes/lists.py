"""Answers from ready lists, best first: what a selection leaves of each, and the popular items as one such list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from airflow_provider_personalize.local.scoring.topk import top_k

# How many of the first items are tried for each that is wanted, before a row that allows few is searched for.
_WALKED, _LEAST_WALKED = 64, 4096
_HELD_PAIRS = 1 << 20
_NO_SHARE = 1e-9  # of all interactions, for an item that has none
NEVER = float(np.log(_NO_SHARE))


def ranks(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the rank of each entry within its row; ``rows`` are sorted."""
    starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1]))[: len(rows)])
    return np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))


def first_allowed(lists: Csr, k: int, selection: Selection) -> NDArray[np.int32]:
    """(n, k) the first k items of each row's list that the selection leaves, -1 where there are fewer."""
    ids = np.full((len(lists), k), -1, np.int32)
    rows = lists.rows()
    allowed = selection.allows(rows, lists.indices)
    rows, items = rows[allowed], lists.indices[allowed]
    rank = ranks(rows)
    kept = rank < k
    ids[rows[kept], rank[kept]] = items[kept]
    return ids


def log_shares(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """(items,) the log of each item's share of all (user, item) pairs."""
    shares: NDArray[np.float32] = np.log(np.maximum(counts / max(counts.sum(), 1), _NO_SHARE)).astype(np.float32)
    return shares


def prominence(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """(items,) popularity from 0 (no interactions) to 1 (the most), by the logarithm of counts."""
    scaled: NDArray[np.float32] = (np.log1p(counts) / max(np.log1p(counts.max(initial=0)), 1)).astype(np.float32)
    return scaled


def most_popular(
    popularity: NDArray[np.float32], rows: NDArray[np.int64], k: int, selection: Selection
) -> NDArray[np.int32]:
    """(len(rows), k) the most popular items for the given rows of a selection, which alone tells rows apart.

    Equally popular items stand in their order. A row that finds k items among the first of all needs no search.
    """
    asked = rows[:1] if selection.alike else rows
    selection = selection.take(asked)
    best = np.full((len(asked), k), -1, np.int32)
    left = np.arange(len(asked))
    if selection.candidates is None:  # of a few candidates most popular items would be tried in vain
        first = _first(popularity, max(_LEAST_WALKED, _WALKED * k))
        left = _walk(first, best, selection) if len(first) < len(popularity) else left
    if len(left):
        # Everybody's scores are the same: the bias alone.
        items, nobody = (
            Items(np.zeros((len(popularity), 1), np.float32), popularity),
            np.zeros((len(left), 1), np.float32),
        )
        found = top_k(nobody, items, k, selection=selection.take(left)).indices
        best[left, : found.shape[1]] = found
    return best if len(asked) == len(rows) else best.repeat(len(rows), axis=0)


def _first(popularity: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The ``count`` most popular items, or all of fewer, best first."""
    if count >= len(popularity):
        return np.arange(len(popularity))
    least = np.partition(popularity, len(popularity) - count)[len(popularity) - count]
    above = np.flatnonzero(popularity > least)
    first = np.concatenate((above, np.flatnonzero(popularity == least)[: count - len(above)]))
    return first[np.lexsort((first, -popularity[first]))]


def _walk(first: NDArray[np.int64], best: NDArray[np.int32], selection: Selection) -> NDArray[np.int64]:
    """Fill (n, k) ``best`` with each row's first k of these items; the rows that do not find as many, by number."""
    left, k = np.arange(len(best)), best.shape[1]
    held = np.zeros(len(best), np.int64)
    start = 0
    while start < len(first) and len(left):
        items = first[start : start + max(1, min(2 * k, _HELD_PAIRS // len(left)))]
        allowed = selection.allows(left.repeat(len(items)), np.tile(items, len(left))).reshape(len(left), -1)
        at, column = np.nonzero(allowed)
        place = held[left[at]] + ranks(at)
        kept = place < k
        best[left[at[kept]], place[kept]] = items[column[kept]]
        held[left] += allowed.sum(axis=1)
        left = left[held[left] < k]
        start += len(items)
    return left


def without_own(ids: NDArray[np.int32], own: NDArray[np.int64]) -> NDArray[np.int32]:
    """(n, k) of (n, k + 1) items a row: without the row's own item, or else without the last."""
    same = ids == own[:, None]
    dropped = np.where(same.any(axis=1), same.argmax(axis=1), ids.shape[1] - 1)
    others: NDArray[np.int32] = ids[np.arange(ids.shape[1]) != dropped[:, None]]
    return others.reshape(len(ids), ids.shape[1] - 1)
