"""Users for items: the model of both recipes that make segments.

WARP scores compare only among what one row ranks, so a user's scores say nothing beside another user's. Two models do
compare users, and both are one product of factors and one bias a user:

* ``transposed``: WARP on the transpose, which ranks users for an item;
* ``expected_activity``: log p(item | user), the softmax of the model that ranks items for a user, plus
  log(1 + the user's items): who is likely to be interested, and active enough to show it.

Each training judges both on the recipe's own split, the newest fifth of each user's interactions, by the share of an
item's held-out users that are among the first 1 % (of users who did not have the item before), and keeps the better.
Both trials train at the same time where there are two cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from airflow_provider_personalize.local.recipes.events import Events
from airflow_provider_personalize.local.recipes.metrics import segment_metrics
from airflow_provider_personalize.local.recipes.model import TrainingConfig, epochs_progress
from airflow_provider_personalize.local.recipes.temperature import fit_temperature
from airflow_provider_personalize.local.recipes.warp import EPOCHS, Factors, fit_warp, training_threads
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from airflow_provider_personalize.local.scoring.topk import top_k

# (items, d), (users, d), (users,): factors of both, and a bias a user.
_Product = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

_HELD_OUT = 0.2
_MOST_JUDGED = 1000  # items


@dataclass(frozen=True)
class Segments:
    """score(user for item) = item_factors[item] . user_factors[user] + user_bias[user], comparable between users.

    item_ids: those with an interaction. manifest: ``ranking``, ``recall_at_1_percent`` of both, ``metrics`` of the one.
    """

    item_ids: pl.Series
    item_factors: NDArray[np.float32]
    user_factors: NDArray[np.float32]
    user_bias: NDArray[np.float32]
    manifest: dict[str, Any]


def fit_segments(events: Events, config: TrainingConfig, dimension: int) -> Segments:
    """Train both models without the newest interactions, and the better one on all."""
    # Only items with events have factors here: nothing can be said of the users of another.
    trained, item = np.unique(events.item, return_inverse=True)
    events = Events(events.user_ids, events.item_ids.gather(trained), events.user, item.astype(np.int32), events.age)
    progress = epochs_progress(config, 3 * EPOCHS)
    next(progress)
    older, newest = events.split(_HELD_OUT)

    def straight(part: Events) -> Factors:
        return _warp(part.user, part.item, (len(part.user_ids), len(part.item_ids)), config, progress, dimension)

    def transposed(part: Events) -> _Product:
        factors = _warp(part.item, part.user, (len(part.item_ids), len(part.user_ids)), config, progress, dimension)
        return factors.rows, factors.columns, factors.column_bias

    with training_threads() as threads:
        both = threads.submit(straight, older), threads.submit(transposed, older)
        trial, trial_transposed = both[0].result(), both[1].result()
    with threadpool_limits(1, "blas"):  # sums of several threads have no fixed order
        temperature = fit_temperature(
            trial.rows, trial.columns, trial.column_bias, newest.user, newest.item, config.seed
        )
    metrics = {
        "transposed": measured(trial_transposed, older, newest, config.seed),
        "expected_activity": measured(_expected_activity(trial, older, temperature), older, newest, config.seed),
    }
    recall = {ranking: found["recall_at_1_percent"] for ranking, found in metrics.items()}
    best = max(recall, key=recall.__getitem__)  # of equals the first
    product = transposed(events) if best == "transposed" else _expected_activity(straight(events), events, temperature)
    manifest = {"ranking": best, "recall_at_1_percent": recall, "metrics": metrics[best]}
    return Segments(events.item_ids, *product, manifest)


def _warp(
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    shape: tuple[int, int],
    config: TrainingConfig,
    progress: Iterator[None],
    dimension: int,
) -> Factors:
    return fit_warp(row, column, np.ones(len(row), np.float32), shape, config, progress, dimension=dimension)


def _expected_activity(factors: Factors, events: Events, temperature: float) -> _Product:
    """log p(item | user) + log(1 + activity), without what is the same for all users of an item."""
    scale = np.float32(1 / temperature)
    users, items, bias = factors.rows, factors.columns * scale, factors.column_bias * scale
    log_sums = top_k(users, Items(items, bias), 0, normalize=True).log_normalizer
    assert log_sums is not None
    activity = np.bincount(events.user, minlength=len(users))
    return items, users, (np.log1p(activity) - log_sums).astype(np.float32)


def measured(product: _Product, older: Events, newest: Events, seed: int) -> Mapping[str, float]:
    """The service's metrics of segments, found among the users without the item, for a sample of items if many."""
    items = np.intersect1d(newest.item, older.item)
    if len(items) > _MOST_JUDGED:
        items = np.sort(np.random.default_rng(seed).choice(items, _MOST_JUDGED, replace=False))
    item_factors, user_factors, user_bias = product
    found = top_k(
        item_factors[items],
        Items(user_factors, user_bias),
        math.ceil(len(user_factors) / 100),
        selection=Selection(excluded=_users_of(older).take(items)),
    )
    return segment_metrics(found.indices, _users_of(newest).take(items), len(user_factors))


def _users_of(events: Events) -> Csr:
    """Each item's users."""
    order = np.argsort(events.item, kind="stable")
    indptr = np.searchsorted(events.item[order], np.arange(len(events.item_ids) + 1))
    return Csr(indptr.astype(np.int64), events.user[order])
