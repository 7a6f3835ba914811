"""aws-item-affinity: users for an item. `segments` says how users are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.once import once
from airflow_provider_personalize.local.recipes.events import training_events
from airflow_provider_personalize.local.recipes.model import (
    Answer,
    Model,
    Row,
    TrainingConfig,
    present,
)
from airflow_provider_personalize.local.recipes.segments import fit_segments
from airflow_provider_personalize.local.recipes.warp import DIMENSION
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Selection
from airflow_provider_personalize.local.scoring.topk import top_k


@dataclass(frozen=True)
class ItemAffinityModel(Model):
    """arrays: item_factors (i, d), user_factors (u, d), user_bias (u,). ids: items with an interaction, and users."""

    answers_with: ClassVar[str] = "users"

    @once
    def _users(self) -> Items:
        return Items(self.arrays["user_factors"], self.arrays["user_bias"])

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        ids = np.full((len(block), min(num_results, len(self.labels))), -1, np.int32)
        items = self.find("items", block, "itemId")
        known = np.flatnonzero(items >= 0)
        unknown = np.flatnonzero((items < 0) & present(block))
        best = top_k(
            self.arrays["item_factors"][items[known]],
            self._users,
            ids.shape[1],
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
        segments = fit_segments(events, config, dimension)
        manifest = {
            **config.manifest(),
            **segments.manifest,
            "counts": {
                "users": len(events.user_ids),
                "items": len(segments.item_ids),
                "interactions": len(events),
            },
        }
        arrays = {
            "item_factors": segments.item_factors,
            "user_factors": segments.user_factors,
            "user_bias": segments.user_bias,
        }
        return ItemAffinityModel(self.name, manifest, arrays, {"items": segments.item_ids, "users": events.user_ids})
