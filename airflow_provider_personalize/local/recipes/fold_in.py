"""A user's factors from what she did, for users that training never saw and for what they did since.

    z = sum_j w_j v_j / sqrt(sum_j w_j)        over the items of her history, w_j = event weight * recency^age
    u = [z, t, 1] M

v_j are the items' factors, t the factors of her metadata (recipes that train on it). M is the ridge regression of the
trained users' factors on the left side, so u has their direction and length: a bare mean of item vectors has neither,
and the softmax depends on both. The root of the weights lets a long history say more than a short one.

The same map serves the users that training saw. It is better at what they do next than their own factors are
(docs/quality.md), since WARP weighs a history once and for all, and here the newest items can count most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.recipes.events import Histories

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

RIDGE = 0.03  # of the mean of the regression's diagonal
_LEAST_WEIGHT = 1e-3  # of the newest item; older ones are left out
_MOST_USERS = 20_000  # to fit the map on
_ENTRIES = 1 << 17  # of histories held at once
_ROWS = 4096


@dataclass(frozen=True)
class FoldIn:
    """recency: the weight of each item relative to the next newer one. map: (d + 1, d) float32, or (2 d + 1, d)."""

    recency: float
    map: Float32

    def users(self, histories: Histories, items: Float32, tags: Float32 | None = None) -> Float32:
        """(n, d) factors of n users; of one without history, her tags' (or zeros)."""
        inputs = self.inputs(histories, items, tags)
        users = np.zeros((len(inputs), items.shape[1]), np.float32)
        for start in range(0, len(inputs), _ROWS):
            block = inputs[start : start + _ROWS]
            sums = np.zeros((len(block), items.shape[1]))
            # Term by term: a matrix product of BLAS gives a row other bits beside other rows.
            for column, weights in enumerate(self.map.astype(np.float64)):
                sums += block[:, column, None] * weights
            users[start : start + _ROWS] = sums
        bare = histories.lengths() == 0
        users[bare] = 0 if tags is None else tags[bare]
        return users

    def inputs(self, histories: Histories, items: Float32, tags: Float32 | None = None) -> Float64:
        """(n, d + 1) or (n, 2 d + 1): [z, t, 1] of each user."""
        ones = np.ones((len(histories), 1))
        parts = (self._sums(histories, items), *(() if tags is None else (tags,)), ones)
        return np.hstack(parts).astype(np.float64)

    def _sums(self, histories: Histories, items: Float32) -> Float64:
        sums = np.zeros((len(histories), items.shape[1]))
        histories = self._newest(histories)
        # Whole users at a time, so that a sum has one order whoever stands beside it.
        starts = np.searchsorted(histories.indptr, np.arange(0, histories.indptr[-1] + 1, _ENTRIES), side="right") - 1
        for first, last in zip(starts, [*starts[1:].tolist(), len(histories)], strict=True):
            rows = np.arange(first, last)
            rows = rows[histories.lengths()[first:last] > 0]
            if len(rows):
                part = histories.take(rows)
                weight = part.weight * self.recency ** part.ages()
                weighted = items[part.item] * weight[:, None]
                total = np.add.reduceat(weight, part.indptr[:-1])
                sums[rows] = np.add.reduceat(weighted, part.indptr[:-1], axis=0) / np.sqrt(total)[:, None]
        return sums

    def _newest(self, histories: Histories) -> Histories:
        if self.recency >= 1:
            return histories
        kept = histories.ages() <= math.log(_LEAST_WEIGHT) / math.log(self.recency)
        indptr = np.concatenate(([0], np.cumsum(kept)))[histories.indptr]
        return Histories(indptr, histories.item[kept], histories.weight[kept])


def fit_fold_in(
    histories: Histories, items: Float32, users: Float32, recency: float, seed: int, tags: Float32 | None = None
) -> FoldIn:
    """The map that comes nearest to the factors of trained users.

    Args:
        histories, users, tags: of the same n users; those without a history say nothing.
    """
    trained = np.flatnonzero(histories.lengths())
    if len(trained) > _MOST_USERS:
        trained = np.sort(np.random.default_rng(seed).choice(trained, _MOST_USERS, replace=False))
    width = items.shape[1]
    blank = FoldIn(recency, np.empty((0, width), np.float32))
    inputs = blank.inputs(histories.take(trained), items, None if tags is None else tags[trained])
    gram = inputs.T @ inputs
    penalty = np.full(len(gram), RIDGE * np.trace(gram) / len(gram))
    solved = np.linalg.solve(gram + np.diag(penalty), inputs.T @ users[trained].astype(np.float64))
    return FoldIn(recency, solved.astype(np.float32))
