"""A dataset group's data as columns, put together from its imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from airflow_provider_personalize.local.datasets.schema import DatasetSchema, FieldType

COLUMN_TYPES: dict[FieldType, type[pl.DataType]] = {
    "string": pl.String,
    "int": pl.Int32,
    "long": pl.Int64,
    "float": pl.Float32,
    "double": pl.Float64,
    "boolean": pl.Boolean,
}
# What every Interactions schema has, for a dataset group that has none.
_NO_INTERACTIONS: dict[str, type[pl.DataType]] = {"USER_ID": pl.String, "ITEM_ID": pl.String, "TIMESTAMP": pl.Int64}
# Records with the same key replace each other; interactions have no key.
_KEYS = {"ITEMS": "ITEM_ID", "USERS": "USER_ID", "ACTIONS": "ACTION_ID"}
_WORTH_A_TABLE = 4  # ids to each value that is looked for


@dataclass(frozen=True)
class Datasets:
    """What a solution version trains on. Columns bear the schema's names in upper case.

    interactions: empty where there are none. schemas: of all datasets, those without data too, by dataset type.
    """

    interactions: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    schemas: Mapping[str, DatasetSchema]
    actions: pl.DataFrame | None = None
    action_interactions: pl.DataFrame | None = None


def load_datasets(files: Mapping[str, Sequence[Path]], schemas: Mapping[str, DatasetSchema]) -> Datasets:
    """Read the imports of a dataset group.

    Args:
        files: dataset type (``INTERACTIONS``, ``ITEMS``, ...) -> the files of ``import_csv`` that make it up,
            oldest first: a full import and the incremental ones since. Types without files are absent.
        schemas: dataset type -> the schema that the dataset has now, also of one without files. A part imported under
            an earlier schema has nulls in columns added since.

    Where several records have one ITEM_ID or USER_ID, the last one counts.
    """
    interactions, items, users, actions, action_interactions = (
        load_dataset(files[kind], schemas[kind]) if files.get(kind) else None
        for kind in ("INTERACTIONS", "ITEMS", "USERS", "ACTIONS", "ACTION_INTERACTIONS")
    )
    if interactions is None:
        schema = schemas.get("INTERACTIONS")
        interactions = pl.DataFrame(schema=_columns(schema) if schema else _NO_INTERACTIONS)
    return Datasets(interactions, items, users, dict(schemas), actions, action_interactions)


def load_dataset(parts: Sequence[Path], schema: DatasetSchema) -> pl.DataFrame:
    """One dataset of :func:`load_datasets`, from at least one file."""
    columns = _columns(schema)
    table = pl.concat([pl.scan_ipc(part) for part in parts], how="diagonal_relaxed").collect()
    table = table.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in table.columns
    )
    key = _KEYS.get(schema.dataset_type)
    if key and table[key].n_unique() < len(table):  # to see that none is repeated is many times as quick
        table = table.unique(key, keep="last", maintain_order=True)
    return table.select(list(columns))


def _columns(schema: DatasetSchema) -> dict[str, type[pl.DataType]]:
    return {field.name.upper(): COLUMN_TYPES[field.type] for field in schema.fields}


def distinct_ids(*columns: pl.Series) -> pl.Series:
    """What is in these columns, each once and in byte order, as a series ``id``: :func:`encode` looks things up there.

    A frame is made unique by all threads, a series by one.
    """
    return pl.LazyFrame({"id": pl.concat(columns)}).unique().collect()["id"].sort()


def encode(values: pl.Series, ids: pl.Series) -> pl.Series:
    """Positions (int64) of ``values`` in ``ids``, which are distinct and in byte order; -1 where not among them."""
    if not len(ids):
        return pl.repeat(-1, len(values), dtype=pl.Int64, eager=True)
    if len(values) * _WORTH_A_TABLE > len(ids):
        # For so many, to look in a hash table made once is quicker than to search for each.
        placed = pl.LazyFrame({"id": ids, "at": pl.int_range(len(ids), eager=True)})
        found = pl.LazyFrame({"id": values}).join(placed, on="id", how="left", maintain_order="left").collect()["at"]
        return found.fill_null(-1)
    found = ids.search_sorted(values).cast(pl.Int64).clip(0, len(ids) - 1)
    same = (ids.gather(found) == values).fill_null(False)
    return pl.select(pl.when(same).then(found).otherwise(-1)).to_series()
