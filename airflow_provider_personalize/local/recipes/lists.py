"""Answers from ready lists, best first: what a selection leaves of each, and the popular items as one such list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from airflow_provider_personalize.local.scoring.topk import select

_NEVER = 1e-9  # the share of interactions of an item that has none


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
    shares: NDArray[np.float32] = np.log(np.maximum(counts / max(counts.sum(), 1), _NEVER)).astype(np.float32)
    return shares


def prominence(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """(items,) popularity from 0 (no interactions) to 1 (the most), by the logarithm of counts."""
    scaled: NDArray[np.float32] = (np.log1p(counts) / max(np.log1p(counts.max(initial=0)), 1)).astype(np.float32)
    return scaled


def most_popular(
    popularity: NDArray[np.float32], rows: NDArray[np.int64], k: int, selection: Selection
) -> NDArray[np.int32]:
    """(len(rows), k) the most popular items for the given rows of a selection, which alone tells rows apart."""
    asked = rows[:1] if selection.alike else rows
    flat = np.zeros((max(len(asked), len(popularity)), 1), np.float32)
    best: NDArray[np.int32] = select(
        flat[: len(asked)], flat[: len(popularity)], k, bias=popularity, selection=selection.take(asked)
    ).indices
    return best if len(asked) == len(rows) else best.repeat(len(rows), axis=0)


def without_own(ids: NDArray[np.int32], own: NDArray[np.int64]) -> NDArray[np.int32]:
    """(n, k) of (n, k + 1) items a row: without the row's own item, or else without the last."""
    same = ids == own[:, None]
    dropped = np.where(same.any(axis=1), same.argmax(axis=1), ids.shape[1] - 1)
    others: NDArray[np.int32] = ids[np.arange(ids.shape[1]) != dropped[:, None]]
    return others.reshape(len(ids), ids.shape[1] - 1)
