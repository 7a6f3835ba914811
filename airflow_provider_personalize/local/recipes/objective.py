"""optimizationObjective: recommendations that lean towards a numeric column of Items.

    logit(user, item) = taste / T + s * z(item)

z is the column's value less its mean over the catalogue, in standard deviations, within [-3, 3]; 0 where an item has
none. s is 0 (OFF), 0.25 (LOW), 0.5 (MEDIUM) or 1 (HIGH): with HIGH an item one deviation above another is e times as
likely at equal taste. The service does not publish its own formula.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.recipes.model import Objective, TrainingError

SENSITIVITY = {"OFF": 0.0, "LOW": 0.25, "MEDIUM": 0.5, "HIGH": 1.0}
_FARTHEST = 3.0


def lean(datasets: Datasets, objective: Objective | None, item_ids: pl.Series) -> NDArray[np.float32]:
    """(items,) what the objective adds to each item's logit.

    Raises:
        TrainingError: the Items dataset has no such column of numbers.
    """
    values = _values(datasets, objective, item_ids)
    if objective is None or values is None:
        return np.zeros(len(item_ids), np.float32)
    deviation = np.nanstd(values)
    z = (values - np.nanmean(values)) / (deviation if deviation > 0 else 1.0)
    z = np.nan_to_num(z).clip(-_FARTHEST, _FARTHEST)
    return (SENSITIVITY[objective.sensitivity] * z).astype(np.float32)


def rewards(datasets: Datasets, objective: Objective | None, item_ids: pl.Series) -> NDArray[np.float64] | None:
    """(items,) what each item is worth, from 0 for the least value; None without an objective."""
    values = _values(datasets, objective, item_ids)
    return None if values is None else np.nan_to_num(values - np.nanmin(values))


def _values(datasets: Datasets, objective: Objective | None, item_ids: pl.Series) -> NDArray[np.float64] | None:
    if objective is None:
        return None
    name = objective.item_attribute
    schema = datasets.schemas.get("ITEMS")
    field = schema and schema.find(name)
    if datasets.items is None or not field or not field.numeric:
        raise TrainingError(f"Create failed. The objective {name} is no numeric column of the Items dataset.")
    column = datasets.items.select("ITEM_ID", pl.col(field.name.upper()).cast(pl.Float64).alias("value"))
    values = pl.DataFrame({"ITEM_ID": item_ids}).join(column, on="ITEM_ID", how="left", maintain_order="left")["value"]
    if not values.count():
        raise TrainingError(f"Create failed. The objective {name} has no value for any item.")
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()
