"""The service's offline metrics (developer guide, "Evaluating a solution version with metrics").

Relevant are the items of a user that the model was not shown. A hit in position p counts 1 / log(1 + p); the ideal has
its hits in the first positions, as many as there are relevant items and positions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.scoring.selection import Csr

CUTOFFS = (5, 10, 25)
DEPTH = max(CUTOFFS)


def ranking_metrics(
    found: NDArray[np.int32],
    truth: Csr,
    items: int,
    *,
    weight: NDArray[np.float32] | None = None,
    reward: NDArray[np.float64] | None = None,
) -> Mapping[str, float]:
    """Of recommendations of items.

    Args:
        found: (n, 25) the items found for n users, best first, -1 where there are fewer.
        truth: each user's relevant items, at least one, each once.
        items: the size of the catalogue.
        weight: (nnz,) what each of the relevant items counts; adds the metrics with event weights.
        reward: (items,) what an item is worth; adds ``average_rewards_at_k``.

    Returns:
        Metrics by the service's names, in their order, rounded to four decimals as the service does.
    """
    relevant = hits(found, truth)
    lengths = np.diff(truth.indptr)
    metrics: dict[str, float] = {"coverage": _distinct(found) / max(items, 1)}
    first = np.where(relevant.any(axis=1), 1 / (1 + relevant.argmax(axis=1)), 0)
    metrics[f"mean_reciprocal_rank_at_{DEPTH}"] = first.mean() if len(first) else 0.0
    for k in CUTOFFS:
        metrics[f"normalized_discounted_cumulative_gain_at_{k}"] = _mean(ndcg(relevant, lengths, k))
        metrics[f"precision_at_{k}"] = _mean(relevant[:, :k].sum(axis=1) / k)
    if weight is not None:
        for k in CUTOFFS:
            name = f"normalized_discounted_cumulative_gain_with_event_weights_at_{k}"
            metrics[name] = _mean(_weighted_ndcg(found, truth, weight, k))
    if reward is not None:
        metrics["average_rewards_at_k"] = _average_rewards(found, truth, reward)
    return _rounded(metrics)


def segment_metrics(found: NDArray[np.int32], truth: Csr, users: int) -> Mapping[str, float]:
    """Of user segments.

    Args:
        found: (n, 1 % of the users) the users found for n items, best first, -1 where there are fewer.
        truth: each item's users in the data that was held out, at least one, each once.
        users: how many users there are.
    """
    found_users = hits(found, truth).sum(axis=1)
    metrics = {
        "coverage": _distinct(found) / max(users, 1),
        "hits_at_1_percent": _mean(found_users),
        "recall_at_1_percent": _mean(found_users / np.diff(truth.indptr)),
    }
    return _rounded(metrics)


def hits(found: NDArray[np.int32], truth: Csr) -> NDArray[np.bool_]:
    """(n, k) which of the found are relevant."""
    rows = np.repeat(np.arange(len(found)), found.shape[1])
    return (truth.holds(rows, found.ravel()) & (found.ravel() >= 0)).reshape(found.shape)


def ndcg(relevant: NDArray[np.bool_], truths: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """(n,) normalized discounted cumulative gain in the first k positions.

    Args:
        relevant: (n, at least k) which positions hold a relevant item.
        truths: (n,) how many items are relevant, found or not.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    best = np.concatenate(([1.0], np.cumsum(discounts)))[np.minimum(truths, k)]
    gain: NDArray[np.float64] = relevant[:, :k] @ discounts[: relevant.shape[1]] / best
    return gain


def _weighted_ndcg(found: NDArray[np.int32], truth: Csr, weight: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains = np.zeros(len(found))
    for row in range(len(found)):
        entries = slice(truth.indptr[row], truth.indptr[row + 1])
        worth = dict(zip(truth.indices[entries].tolist(), weight[entries].tolist(), strict=True))
        gained = [worth.get(item, 0.0) for item in found[row, :k].tolist()]
        best = sorted(worth.values(), reverse=True)[:k]
        gains[row] = np.dot(gained, discounts[: len(gained)]) / np.dot(best, discounts[: len(best)])
    return gains


def _average_rewards(found: NDArray[np.int32], truth: Csr, reward: NDArray[np.float64]) -> float:
    """The mean over users of the share of their relevant items' reward that lies in what was found."""
    relevant = hits(found, truth)
    gained = (relevant * reward[np.maximum(found, 0)]).sum(axis=1)
    total = np.add.reduceat(reward[truth.indices], truth.indptr[:-1]) if len(found) else np.empty(0)
    judged = total > 0
    return _mean(gained[judged] / total[judged])


def _distinct(found: NDArray[np.int32]) -> int:
    return len(np.unique(found[found >= 0]))


def _mean(values: NDArray[np.floating] | NDArray[np.integer]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _rounded(metrics: Mapping[str, float]) -> Mapping[str, float]:
    return {name: round(float(metrics[name]), 4) for name in sorted(metrics)}
