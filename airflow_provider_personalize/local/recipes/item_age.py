"""How old items are, by the service's rule (developer guide, "Items dataset")."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets

_DAY = 86_400


def ages(datasets: Datasets, item_ids: pl.Series) -> NDArray[np.float32]:
    """(items,) days from the creation of each of ``item_ids`` to the newest interaction."""
    newest = datasets.interactions.select(pl.col("TIMESTAMP").max().fill_null(0)).item()
    days: NDArray[np.float32] = ((newest - creation_times(datasets, item_ids).to_numpy()) / _DAY).astype(np.float32)
    return days


def creation_times(datasets: Datasets, item_ids: pl.Series) -> pl.Series:
    """(items,) int64 epoch seconds when each of ``item_ids`` was created.

    Its CREATION_TIMESTAMP, or else its first interaction, or else the newest interaction of all: such an item counts as
    new. 0 where there are neither.
    """
    interactions = datasets.interactions
    sources = [interactions.group_by("ITEM_ID").agg(pl.col("TIMESTAMP").min().alias("created"))]
    if datasets.items is not None and "CREATION_TIMESTAMP" in datasets.items.columns:
        sources.insert(0, datasets.items.select("ITEM_ID", pl.col("CREATION_TIMESTAMP").alias("created")))
    times = pl.DataFrame({"ITEM_ID": item_ids})
    for number, source in enumerate(sources):
        times = times.join(
            source.rename({"created": f"created{number}"}), on="ITEM_ID", how="left", maintain_order="left"
        )
    newest = interactions.select(pl.col("TIMESTAMP").max().fill_null(0)).item()
    return times.select(pl.coalesce(times.columns[1:]).fill_null(newest).cast(pl.Int64)).to_series()
