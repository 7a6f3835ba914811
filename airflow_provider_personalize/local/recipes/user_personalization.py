"""aws-user-personalization and aws-user-personalization-v2: items for a user.

WARP factors over (user, item) pairs, newer ones weighing more; v2 also learns from item and user metadata, which places
items and users without interactions. Everyone else's answer is what is popular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.recipes.events import Events, training_events
from airflow_provider_personalize.local.recipes.features import tags, with_identity
from airflow_provider_personalize.local.recipes.model import (
    Answer,
    Model,
    Row,
    TrainingConfig,
    epochs_progress,
    present,
    score_units,
)
from airflow_provider_personalize.local.recipes.temperature import fit_temperature
from airflow_provider_personalize.local.recipes.warp import DIMENSION, EPOCHS, Factors, fit_warp
from airflow_provider_personalize.local.scoring.selection import Selection
from airflow_provider_personalize.local.scoring.topk import select

RECENCY = 0.98
_NEVER = 1e-9  # the share of interactions of an item that has none


@dataclass(frozen=True)
class UserPersonalizationModel(Model):
    """arrays: user_factors (u, d), item_factors (i, d), item_bias (i,), popularity (i,) log share of interactions."""

    answers_with: ClassVar[str] = "items"

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        selection = selection or Selection()
        k = min(num_results, len(self.labels))
        ids = np.full((len(block), k), -1, np.int32)
        scores = np.zeros((len(block), k), np.int64)
        users = self.find("users", block, "userId")
        known = np.flatnonzero(users >= 0)
        strangers = np.flatnonzero((users < 0) & present(block))
        if len(known):
            scale = np.float32(1 / self.manifest["temperature"])
            best = select(
                self.arrays["user_factors"][users[known]] * scale,
                self.arrays["item_factors"],
                k,
                bias=self.arrays["item_bias"] * scale,
                selection=selection.take(known),
                normalize=True,
            )
            ids[known], scores[known] = best.indices, score_units(best)
        if len(strangers):
            # Popularity is the same for all of them; so are the answers, unless the filter tells them apart.
            rows = strangers[:1] if selection.alike else strangers
            popularity = self.arrays["popularity"]
            best = select(
                np.zeros((len(rows), 1), np.float32),
                np.zeros((len(popularity), 1), np.float32),
                k,
                bias=popularity,
                selection=selection.take(rows),
                normalize=True,
            )
            ids[strangers], scores[strangers] = best.indices, score_units(best)
        return Answer(ids, scores, {})


@dataclass(frozen=True)
class UserPersonalization:
    """The recipe; ``metadata`` makes it the second version."""

    name: str
    metadata: bool
    recency_parameter: str
    model: type[Model] = UserPersonalizationModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> UserPersonalizationModel:
        dimension = config.whole("hidden_dimension", DIMENSION, 32, 256)
        recency = RECENCY if config.flag(self.recency_parameter, True) else 1.0
        events = training_events(datasets, config)
        user_ids, user_tags, item_tags = self._entities(datasets, events)
        progress = epochs_progress(config, 2 * EPOCHS)
        next(progress)

        def train(part: Events) -> tuple[Factors, NDArray[np.bool_]]:
            return _train(part, events.user_ids, user_ids, user_tags, item_tags, recency, dimension, config, progress)

        older, newest = events.split()
        trial, seen = train(older)
        judged = seen[newest.item]
        users = _positions(events.user_ids, user_ids)
        temperature = fit_temperature(
            trial.rows, trial.columns, trial.column_bias, users[newest.user[judged]], newest.item[judged], config.seed
        )
        factors, _ = train(events)
        counts = events.item_counts()
        popularity = np.log(np.maximum(counts / counts.sum(), _NEVER)).astype(np.float32)
        manifest = {
            **config.manifest(),
            "temperature": temperature,
            "counts": {"users": len(user_ids), "items": len(events.item_ids), "interactions": len(events)},
        }
        arrays = {
            "user_factors": factors.rows,
            "item_factors": factors.columns,
            "item_bias": factors.column_bias,
            "popularity": popularity,
        }
        return UserPersonalizationModel(self.name, manifest, arrays, {"users": user_ids, "items": events.item_ids})

    def _entities(self, datasets: Datasets, events: Events) -> tuple[pl.Series, Any, Any]:
        """The users that get factors, and the tags of users and items (None without metadata)."""
        if not self.metadata:
            return events.user_ids, None, None
        user_ids = events.user_ids
        item_tags = tags(datasets.items, datasets.schemas.get("ITEMS"), "ITEM_ID", events.item_ids)
        if datasets.users is not None:
            user_ids = pl.concat([user_ids, datasets.users["USER_ID"].alias("id")]).unique().sort()
        user_tags = tags(datasets.users, datasets.schemas.get("USERS"), "USER_ID", user_ids)
        # A user of whom neither an event nor a tag is known is a stranger.
        placed = (np.diff(user_tags.indptr) > 0) | user_ids.is_in(events.user_ids.implode()).to_numpy()
        return user_ids.filter(pl.Series(placed)), user_tags[placed], item_tags


def _train(
    events: Events,
    user_table: pl.Series,
    user_ids: pl.Series,
    user_tags: Any,
    item_tags: Any,
    recency: float,
    dimension: int,
    config: TrainingConfig,
    progress: Any,
) -> tuple[Factors, NDArray[np.bool_]]:
    user = _positions(user_table, user_ids)[events.user]
    shape = (len(user_ids), len(events.item_ids))
    seen = events.item_counts() > 0
    trained_users = np.bincount(user, minlength=shape[0]) > 0
    user_features = None if user_tags is None else with_identity(user_tags, trained_users)
    item_features = None if item_tags is None else with_identity(item_tags, seen)
    weight = (recency ** events.age.astype(np.float64)).astype(np.float32)
    factors = fit_warp(
        user,
        events.item,
        weight,
        shape,
        config,
        progress,
        dimension=dimension,
        row_features=user_features,
        column_features=item_features,
    )
    placed = seen if item_tags is None else seen | (np.diff(item_tags.indptr) > 0)
    return _put_last(factors, placed), placed


def _put_last(factors: Factors, placed: NDArray[np.bool_]) -> Factors:
    """Items of which nothing is known come after all others, for every user."""
    if placed.all():
        return factors
    columns, bias = factors.columns.copy(), factors.column_bias.copy()
    reach = np.linalg.norm(factors.rows, axis=1).max() * np.linalg.norm(columns[placed], axis=1).max()
    columns[~placed] = 0
    bias[~placed] = bias[placed].min() - np.float32(1.001) * reach - 1
    return Factors(factors.rows, columns, bias)


def _positions(ids: pl.Series, table: pl.Series) -> NDArray[np.int32]:
    """Where each id of one table stands in another that holds them all."""
    return table.search_sorted(ids).cast(pl.Int32).to_numpy()
