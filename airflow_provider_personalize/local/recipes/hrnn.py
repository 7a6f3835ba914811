"""aws-hrnn-coldstart: items for a user, new ones among them; legacy, as are aws-hrnn and aws-hrnn-metadata.

All three are user personalization here: WARP factors in the place of the service's recurrent network (``bptt``, how far
that one looks back, has nothing to choose). Coldstart places cold items by their metadata alone: what few interactions
they have are not trained on. An item is cold with at most ``cold_start_max_interactions`` users, created less than
``cold_start_max_duration`` days before ``cold_start_relative_from``: the newest interaction (``latestItem``), or the
time of training (``currentTime``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import polars as pl

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.recipes.item_age import creation_times
from airflow_provider_personalize.local.recipes.model import Model, TrainingConfig
from airflow_provider_personalize.local.recipes.user_personalization import (
    UserPersonalization,
    UserPersonalizationModel,
)

_DAY = 86_400


@dataclass(frozen=True)
class HrnnColdstart:
    """The recipe; it trains as ``personalization`` does. Its model's manifest counts ``cold_items``."""

    personalization: UserPersonalization
    name: str = "aws-hrnn-coldstart"
    model: type[Model] = UserPersonalizationModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> UserPersonalizationModel:
        cold = _cold_items(datasets, config)
        warm = datasets.interactions.filter(~pl.col("ITEM_ID").is_in(cold.implode()))
        trained = self.personalization.fit(replace(datasets, interactions=warm), config)
        counts = {**trained.manifest["counts"], "cold_items": len(cold)}
        return replace(trained, recipe=self.name, manifest={**trained.manifest, "counts": counts})


def _cold_items(datasets: Datasets, config: TrainingConfig) -> pl.Series:
    """Ids of the cold items of the Items dataset; an item that is not in it has no metadata to stand by."""
    most = config.whole("cold_start_max_interactions", 15, 1, 1_000_000)
    days = config.real("cold_start_max_duration", 5.0, 0, 1_000_000)
    origin = config.choice("cold_start_relative_from", "latestItem", "latestItem", "currentTime")
    if datasets.items is None or datasets.interactions.is_empty():
        return pl.Series(dtype=pl.String)
    newest: int = datasets.interactions.select(pl.col("TIMESTAMP").max()).item()
    now = newest if origin == "latestItem" else int(time.time())
    ids = datasets.items["ITEM_ID"]
    users = datasets.interactions.group_by("ITEM_ID").agg(pl.col("USER_ID").n_unique().alias("users"))
    items = pl.DataFrame({"ITEM_ID": ids, "created": creation_times(datasets, ids)}).join(
        users, on="ITEM_ID", how="left"
    )
    few, young = pl.col("users").fill_null(0) <= most, now - pl.col("created") < days * _DAY
    return items.filter(few & young)["ITEM_ID"]
