"""Metadata as features: which of an entity's columns LightFM sees, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.local.datasets.dataset import Datasets, distinct_ids, encode
from airflow_provider_personalize.local.datasets.schema import DatasetSchema
from airflow_provider_personalize.local.recipes.model import TrainingError

_QUANTILES = np.arange(0.1, 1.0, 0.1)


def chosen_columns(
    datasets: Datasets, *, excluded: Mapping[str, Sequence[str]], included: Mapping[str, Sequence[str]]
) -> Datasets:
    """The datasets without metadata that a solution does not train on: ``trainingDataConfig``.

    Args:
        excluded: dataset type -> columns to leave out. included: dataset type -> the only ones to keep. Names and types
            in any case. Columns that are no metadata (ids, times, event types) stay.

    Raises:
        TrainingError: a dataset has no such column.
    """
    schemas = dict(datasets.schemas)
    named = [(kind.upper(), {name.upper() for name in names}) for kind, names in (*excluded.items(), *included.items())]
    for position, (kind, names) in enumerate(named):
        schema = schemas.get(kind)
        unknown = names - {field.name.upper() for field in schema.fields} if schema else names
        if schema is None:
            raise TrainingError(f"Create failed. trainingDataConfig names {kind}, of which there are no data.")
        if unknown:
            columns = ", ".join(sorted(unknown))
            raise TrainingError(f"Create failed. trainingDataConfig names {columns}, which {kind} does not have.")
        leaves_out = position < len(excluded)
        dropped = {f for f in schema.metadata if (f.name.upper() in names) == leaves_out}
        schemas[kind] = replace(schema, fields=tuple(f for f in schema.fields if f not in dropped))
    return replace(datasets, schemas=schemas)


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
            distinct = distinct_ids(entries["value"])
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


def with_identity(tagged: Any, trained: NDArray[np.bool_], tag_share: float | None = None) -> Any:
    """(entities, entities + tags) CSR: a column an entity beside its tags.

    An entity that training has not seen has no column of its own, so that its tags alone say where it stands.

    Args:
        tag_share: what an entity's tags weigh together, beside 1 for its own column; without it rows sum to 1, and the
            more tags an entity has, the less is learnt of itself.
    """
    from scipy.sparse import diags, hstack

    own = diags(trained.astype(np.float32))
    if tag_share is not None:
        count = np.diff(tagged.indptr)
        weight = np.divide(tag_share, count, out=np.zeros(len(count)), where=count > 0)
        return hstack([own, diags(weight) @ tagged], "csr").astype(np.float32)
    features = hstack([own, tagged], "csr").astype(np.float32)
    sums = np.asarray(features.sum(axis=1)).ravel()
    return (diags(np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)) @ features).tocsr().astype(np.float32)
