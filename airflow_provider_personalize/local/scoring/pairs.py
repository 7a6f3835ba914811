"""Scores of given (row, item) pairs, and a softmax over each row's own list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.scoring.kernel import implementation
from airflow_provider_personalize.local.scoring.selection import IntArray

_BLOCK = 1 << 18  # numbers held at once
_LANES = 8

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def score_pairs(queries: Float32, items: Float32, rows: IntArray, indices: IntArray) -> Float64:
    """(pairs,) ``queries[row] . items[index]`` in float64, the same bits for a pair whatever stands beside it.

    Every product of two float32 is exact in float64. Eight sums of every eighth are added as pairs of pairs.

    Raises:
        IndexError: a row or an item does not exist.
    """
    for positions, array in ((rows, queries), (indices, items)):
        if len(positions) and not 0 <= positions.min() <= positions.max() < len(array):
            raise IndexError(f"positions from {positions.min()} to {positions.max()} of {len(array)}")
    if (kernel := implementation()) is not None:
        return kernel.pairs(
            np.ascontiguousarray(queries, np.float32),
            np.ascontiguousarray(items, np.float32),
            np.ascontiguousarray(rows, np.int64),
            np.ascontiguousarray(indices, np.int64),
        )
    return score_pairs_in_numpy(queries, items, rows, indices)


def score_pairs_in_numpy(queries: Float32, items: Float32, rows: IntArray, indices: IntArray) -> Float64:
    """`score_pairs` where no kernel is built."""
    scores = np.empty(len(rows))
    d = items.shape[1]
    step = max(1, _BLOCK // max(d, 1))
    for start in range(0, len(rows), step):
        pairs = slice(start, start + step)
        products = items[indices[pairs]].astype(np.float64) * queries[rows[pairs]]
        lanes = np.zeros((len(products), _LANES))
        for first in range(0, d, _LANES):
            part = products[:, first : first + _LANES]
            lanes[:, : part.shape[1]] += part
        while lanes.shape[1] > 1:
            lanes = lanes[:, ::2] + lanes[:, 1::2]
        scores[pairs] = lanes[:, 0]
    return scores


def softmax_of_lists(scores: Float64, starts: IntArray) -> Float64:
    """(pairs,) each score's share within its list.

    Args:
        scores: (pairs,) list after list; -inf for a pair that stands outside the softmax, which gets 0.
        starts: where each list begins; none is empty.
    """
    lengths = np.diff(np.append(starts, len(scores)))
    largest = np.maximum.reduceat(scores, starts) if len(starts) else np.empty(0)
    powers = np.exp(scores - np.repeat(np.where(np.isfinite(largest), largest, 0.0), lengths))
    totals = np.add.reduceat(powers, starts) if len(starts) else np.empty(0)
    shares: Float64 = powers / np.repeat(np.where(totals > 0, totals, 1.0), lengths)
    return shares
