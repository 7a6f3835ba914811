"""aws-item-affinity: users for an item.

WARP scores compare within a row only, so the model that ranks users is trained on the transpose: items are the rows
that it ranks for, users the columns that it ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.recipes.events import training_events
from airflow_provider_personalize.local.recipes.model import (
    Answer,
    Model,
    Row,
    TrainingConfig,
    epochs_progress,
    present,
)
from airflow_provider_personalize.local.recipes.warp import DIMENSION, EPOCHS, fit_warp
from airflow_provider_personalize.local.scoring.selection import Selection
from airflow_provider_personalize.local.scoring.topk import select


@dataclass(frozen=True)
class ItemAffinityModel(Model):
    """arrays: item_factors (i, d), user_factors (u, d), user_bias (u,). ids: items with an interaction, and users."""

    answers_with: ClassVar[str] = "users"

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        ids = np.full((len(block), min(num_results, len(self.labels))), -1, np.int32)
        items = self.find("items", block, "itemId")
        known = np.flatnonzero(items >= 0)
        unknown = np.flatnonzero((items < 0) & present(block))
        best = select(
            self.arrays["item_factors"][items[known]],
            self.arrays["user_factors"],
            ids.shape[1],
            bias=self.arrays["user_bias"],
            selection=(selection or Selection()).take(known),
        )
        ids[known] = best.indices
        reason = "has no interactions in the data that the solution version was trained on."
        errors = {row: f"itemId {_item(block[row])!r} {reason}" for row in unknown.tolist()}
        return Answer(ids, None, errors)


def _item(row: Row) -> object:
    return row and row["itemId"]


@dataclass(frozen=True)
class ItemAffinity:
    """The recipe."""

    name: str = "aws-item-affinity"
    model: type[Model] = ItemAffinityModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> ItemAffinityModel:
        dimension = config.whole("hidden_dimension", DIMENSION, 32, 256)
        events = training_events(datasets, config)
        progress = epochs_progress(config, EPOCHS)
        next(progress)
        # Only items with events have factors here: nothing can be said of the users of another.
        trained, item = np.unique(events.item, return_inverse=True)
        factors = fit_warp(
            item.astype(np.int32),
            events.user,
            np.ones(len(events), np.float32),
            (len(trained), len(events.user_ids)),
            config,
            progress,
            dimension=dimension,
        )
        item_ids = events.item_ids.gather(trained)
        manifest = {
            **config.manifest(),
            "counts": {"users": len(events.user_ids), "items": len(item_ids), "interactions": len(events)},
        }
        arrays = {"item_factors": factors.rows, "user_factors": factors.columns, "user_bias": factors.column_bias}
        return ItemAffinityModel(self.name, manifest, arrays, {"items": item_ids, "users": events.user_ids})
