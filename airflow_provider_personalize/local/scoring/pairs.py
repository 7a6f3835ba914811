"""Scores of given (row, item) pairs, and a softmax over each row's own list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.scoring.selection import IntArray

_BLOCK = 1 << 18  # numbers held at once

Float64 = NDArray[np.float64]


def score_pairs(queries: NDArray[np.float32], items: NDArray[np.float32], rows: IntArray, indices: IntArray) -> Float64:
    """(pairs,) ``queries[row] . items[index]`` in float64, the same bits for a pair whatever stands beside it."""
    scores = np.empty(len(rows))
    step = max(1, _BLOCK // max(items.shape[1], 1))
    for start in range(0, len(rows), step):
        pairs = slice(start, start + step)
        scores[pairs] = (items[indices[pairs]].astype(np.float64) * queries[rows[pairs]]).sum(axis=1)
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
