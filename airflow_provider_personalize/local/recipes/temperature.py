"""The temperature of a softmax, fitted on events that training has not seen.

WARP learns an order, not probabilities: the scale of its scores says nothing. Dividing them by the temperature that
makes held-out events most likely turns the softmax into the best distribution of its family.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LARGEST_SAMPLE = 20_000_000  # scores held at once
_COLDEST, _HOTTEST = 0.02, 50.0


def fit_temperature(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    bias: NDArray[np.float32],
    query: NDArray[np.int32],
    truth: NDArray[np.int32],
    seed: int,
) -> float:
    """The T that minimises the mean of ``-log softmax((queries @ items.T + bias) / T)[truth]``.

    Args:
        query, truth: (events,) the row of ``queries`` and the item of each held-out event; a sample is used where
            scoring them all would take too much memory.

    The loss is convex in 1/T, so bisection on its derivative finds the one minimum; 1.0 where there are no events.
    """
    if not len(query):
        return 1.0
    scores, local, items_of = _sampled(queries, items, bias, query, truth, seed)
    weight = np.bincount(local, minlength=len(scores)).astype(np.float64)
    observed = float(scores[local, items_of].astype(np.float64).sum())
    powers = np.empty_like(scores)

    def expected(inverse: float) -> float:
        np.exp(np.multiply(scores, np.float32(inverse), out=powers), out=powers)
        total = powers.sum(axis=1, dtype=np.float64)
        return float((np.einsum("ij,ij->i", powers, scores) / total * weight).sum())

    low, high = np.log(1 / _HOTTEST), np.log(1 / _COLDEST)
    for _ in range(24):
        middle = (low + high) / 2
        if expected(float(np.exp(middle))) < observed:
            low = middle  # the model is flatter than the events
        else:
            high = middle
    return float(np.round(np.exp(-(low + high) / 2), 6))


def log_loss(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    bias: NDArray[np.float32],
    query: NDArray[np.int32],
    truth: NDArray[np.int32],
    temperature: float,
    seed: int,
) -> float:
    """The mean that :func:`fit_temperature` minimises, at a given T, on the same sample; 0.0 without events."""
    if not len(query):
        return 0.0
    scores, local, items_of = _sampled(queries, items, bias, query, truth, seed)
    scores *= np.float32(1 / temperature)
    logits = scores[local, items_of].astype(np.float64)
    normalizers = np.log(np.exp(scores, out=scores).sum(axis=1, dtype=np.float64))
    return float((normalizers[local] - logits).mean())


def _sampled(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    bias: NDArray[np.float32],
    query: NDArray[np.int32],
    truth: NDArray[np.int32],
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int32]]:
    """Scores (rows, items) below 0 of as many rows as may be held, and row and item of each of their events."""
    rows = np.unique(query)
    most = max(1, _LARGEST_SAMPLE // max(1, len(items)))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    used = np.isin(query, rows)
    scores = queries[rows] @ items.T + bias
    scores -= scores.max(axis=1, keepdims=True)
    return scores, np.searchsorted(rows, query[used]), truth[used]
