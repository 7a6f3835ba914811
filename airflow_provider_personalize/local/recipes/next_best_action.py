"""aws-next-best-action: actions that users take.

The service has no batch jobs for this recipe, so training is as simple as it can be and still be true: actions are
ranked by the share of users who took them among those who met them, within the newest ``action_optimization_period``
days, smoothed by one user who did and one who did not. An action that nobody met has a half: it is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from airflow_provider_personalize.local.datasets.dataset import Datasets, distinct_ids, encode
from airflow_provider_personalize.local.recipes.events import training_events
from airflow_provider_personalize.local.recipes.model import Model, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.popularity import PopularityModel

_DAY = 86_400


@dataclass(frozen=True)
class NextBestActionModel(PopularityModel):
    """arrays: popularity (a,), the share of users who took each action. ids: actions."""

    answers_with: ClassVar[str] = "actions"


@dataclass(frozen=True)
class NextBestAction:
    """The recipe. It needs item interactions, as in the service, and an Actions dataset."""

    name: str = "aws-next-best-action"
    model: type[Model] = NextBestActionModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> NextBestActionModel:
        days = config.whole("action_optimization_period", 14, 7, 28)
        events = training_events(datasets, config)
        if datasets.actions is None:
            raise TrainingError("Create failed. aws-next-best-action needs an imported Actions dataset.")
        action_ids = distinct_ids(datasets.actions["ACTION_ID"])
        met = _met(datasets.action_interactions, days)
        action = encode(met["ACTION_ID"], action_ids).to_numpy()
        known = action >= 0
        times = np.bincount(action[known], minlength=len(action_ids))
        taken = np.bincount(action[known], met["taken"].to_numpy()[known], len(action_ids))
        manifest = {
            **config.manifest(),
            "counts": {
                "users": len(events.user_ids),
                "items": len(events.item_ids),
                "interactions": len(events),
                "actions": len(action_ids),
                "action_interactions": int(known.sum()),
            },
        }
        shares = ((taken + 1) / (times + 2)).astype(np.float32)
        return NextBestActionModel(self.name, manifest, {"popularity": shares}, {"actions": action_ids})


def _met(interactions: pl.DataFrame | None, days: int) -> pl.DataFrame:
    """One row a user and action that met in the newest ``days``: ACTION_ID, and whether it was ``taken``."""
    if interactions is None:
        return pl.DataFrame(schema={"ACTION_ID": pl.String, "taken": pl.Boolean})
    recent = pl.col("TIMESTAMP") > pl.col("TIMESTAMP").max() - days * _DAY
    taken = pl.col("EVENT_TYPE").str.to_lowercase() == "taken"
    return (
        interactions.filter(recent)
        .group_by("USER_ID", "ACTION_ID", maintain_order=True)
        .agg(taken.any().alias("taken"))
        .select("ACTION_ID", "taken")
    )
