"""aws-similar-items: items that the same users like and whose metadata is alike.

The cosine of WARP item factors that are learnt from interactions and metadata together, plus a half minus
``popularity_discount_factor`` times an item's popularity (the logarithm of its users, 1 for the most): the service says
that 0 brings more popular items and 1 fewer, not how. An item with metadata and fewer than five interactions, which the
service calls cold, stands where its metadata alone puts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.recipes.events import Events, training_events
from airflow_provider_personalize.local.recipes.features import tags, with_identity
from airflow_provider_personalize.local.recipes.lists import log_shares, prominence
from airflow_provider_personalize.local.recipes.model import Model, TrainingConfig, epochs_progress
from airflow_provider_personalize.local.recipes.related_items import FAR, RelatedItemsModel, unit
from airflow_provider_personalize.local.recipes.search import best_by_metrics, draws
from airflow_provider_personalize.local.recipes.trial import measured
from airflow_provider_personalize.local.recipes.warp import DIMENSION, EPOCHS, fit_warp

COLD = 5  # interactions


@dataclass(frozen=True)
class SimilarItems:
    """The recipe. ``item_metadata_hidden_dim`` has no effect: metadata and ids share their factors."""

    name: str = "aws-similar-items"
    model: type[Model] = RelatedItemsModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> RelatedItemsModel:
        discount = config.real("popularity_discount_factor", 0.0, 0, 1)
        dimension = _dimension(config)  # a value out of its range is told before anything is trained
        config.whole("item_metadata_hidden_dim", DIMENSION, 30, 200)
        events = training_events(datasets, config)
        settings = draws(config.search, {"item_id_hidden_dim": str(dimension)}, config.seed)
        progress = epochs_progress(config, (len(settings) + 1) * EPOCHS)
        next(progress)
        item_tags = tags(datasets.items, datasets.schemas.get("ITEMS"), "ITEM_ID", events.item_ids)
        tagged = np.diff(item_tags.indptr) > 0

        def learnt(part: Events, setting: Mapping[str, str], manifest: Mapping[str, Any]) -> RelatedItemsModel:
            counts = part.item_counts()
            factors = fit_warp(
                part.user,
                part.item,
                part.weight.copy(),  # LightFM takes no read-only buffers
                (len(part.user_ids), len(part.item_ids)),
                config,
                progress,
                dimension=_dimension(config.tuned(setting)),
                column_features=with_identity(item_tags, (counts >= COLD) | (counts > 0) & ~tagged),
            )
            known = tagged | (counts > 0)
            arrays: dict[str, NDArray[Any]] = {
                "item_vectors": unit(factors.columns * known[:, None]),
                "item_bias": np.where(known, np.float32(0.5 - discount) * prominence(counts), np.float32(FAR)),
                "popularity": log_shares(counts),
            }
            return RelatedItemsModel(self.name, manifest, arrays, {"items": part.item_ids})

        def measure(setting: Mapping[str, str]) -> Mapping[str, float]:
            return measured(lambda part: learnt(part, setting, {}), events, config.seed)

        tuned, metrics = best_by_metrics(settings, measure)
        counts = {"users": len(events.user_ids), "items": len(events.item_ids), "interactions": len(events)}
        manifest = {**config.manifest(), "counts": counts, "metrics": metrics}
        if config.search is not None:
            manifest["tuned_hyperparameters"] = tuned
        return learnt(events, tuned, manifest)


def _dimension(config: TrainingConfig) -> int:
    return config.whole("item_id_hidden_dim", DIMENSION, 30, 200)
