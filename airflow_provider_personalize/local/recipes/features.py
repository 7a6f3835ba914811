"""Metadata as features: which of an entity's columns LightFM sees, and how."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import encode
from airflow_provider_personalize.local.datasets.schema import DatasetSchema

_QUANTILES = np.arange(0.1, 1.0, 0.1)


def tags(table: pl.DataFrame | None, schema: DatasetSchema | None, key: str, ids: pl.Series) -> Any:
    """(entities, tags) scipy CSR float32 of ones: what the metadata says of each entity of ``ids``.

    A categorical string gives a tag a value (``a|b`` is two values), a number the tenth of the column that it lies in.
    Other strings and booleans are not trained on, as in the service; nulls say nothing. A value that one entity alone
    has is left out: it would only repeat the entity's own column.
    """
    from scipy.sparse import csr_matrix, hstack

    blocks = []
    if table is not None and schema is not None:
        position = encode(table[key], ids)
        for field in schema.metadata:
            column = table[field.name.upper()]
            if field.categorical:
                values = column.str.split("|")
            elif field.numeric:
                values = _tenths(column).reshape((-1, 1)).cast(pl.List(pl.Int64))
            else:
                continue
            entries = (
                pl.DataFrame({"entity": position, "value": values})
                .filter(pl.col("entity") >= 0)
                .explode("value")
                .drop_nulls()
                .unique()
                .with_columns(pl.len().over("value").alias("times"))
                .filter(pl.col("times") > 1)
            )
            distinct = entries["value"].unique().sort()
            columns = encode(entries["value"], distinct).to_numpy()
            shape = (len(ids), len(distinct))
            blocks.append(
                csr_matrix((np.ones(len(entries), np.float32), (entries["entity"].to_numpy(), columns)), shape)
            )
    return hstack(blocks, "csr") if blocks else csr_matrix((len(ids), 0), dtype=np.float32)


def _tenths(column: pl.Series) -> pl.Series:
    edges = np.unique(np.quantile(column.drop_nulls().to_numpy(), _QUANTILES)) if column.count() else np.empty(0)
    bins = np.searchsorted(edges, column.cast(pl.Float64).fill_null(0).to_numpy(), side="right")
    return pl.select(pl.when(column.is_not_null()).then(pl.Series(bins))).to_series()


def with_identity(tagged: Any, trained: NDArray[np.bool_]) -> Any:
    """(entities, entities + tags) CSR: a column an entity beside its tags, rows summing to 1.

    An entity that training has not seen has no column of its own, so that its tags alone say where it stands.
    """
    from scipy.sparse import diags, hstack

    features = hstack([diags(trained.astype(np.float32)), tagged], "csr").astype(np.float32)
    sums = np.asarray(features.sum(axis=1)).ravel()
    return (diags(np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)) @ features).tocsr().astype(np.float32)
