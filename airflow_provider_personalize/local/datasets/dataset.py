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
# Records with the same key replace each other; interactions have no key.
_KEYS = {"ITEMS": "ITEM_ID", "USERS": "USER_ID", "ACTIONS": "ACTION_ID"}


@dataclass(frozen=True)
class Datasets:
    """What a solution version trains on. Columns bear the schema's names in upper case."""

    interactions: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    schemas: Mapping[str, DatasetSchema]


def load_datasets(files: Mapping[str, Sequence[Path]], schemas: Mapping[str, DatasetSchema]) -> Datasets:
    """Read the imports of a dataset group.

    Args:
        files: dataset type (``INTERACTIONS``, ``ITEMS``, ``USERS``) -> the files of ``import_csv`` that make it up,
            oldest first: a full import and the incremental ones since. Types without files are absent.
        schemas: dataset type -> the schema that the dataset has now. A part imported under an earlier schema has nulls
            in columns added since.

    Where several records have one ITEM_ID or USER_ID, the last one counts.
    """

    def load(kind: str) -> pl.DataFrame | None:
        parts = files.get(kind)
        if not parts:
            return None
        columns = {field.name.upper(): COLUMN_TYPES[field.type] for field in schemas[kind].fields}
        table = pl.concat([pl.scan_ipc(part) for part in parts], how="diagonal_relaxed").collect()
        table = table.with_columns(
            pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in table.columns
        )
        if key := _KEYS.get(kind):
            table = table.unique(key, keep="last", maintain_order=True)
        return table.select(list(columns))

    interactions = load("INTERACTIONS")
    if interactions is None:
        raise ValueError("a dataset group without an Interactions import cannot be trained on")
    return Datasets(interactions, load("ITEMS"), load("USERS"), dict(schemas))


def encode(values: pl.Series, ids: pl.Series) -> pl.Series:
    """Positions (int64) of ``values`` in ``ids``, which are distinct and in byte order; -1 where not among them."""
    if not len(ids):
        return pl.repeat(-1, len(values), dtype=pl.Int64, eager=True)
    found = ids.search_sorted(values).cast(pl.Int64).clip(0, len(ids) - 1)
    same = (ids.gather(found) == values).fill_null(False)
    return pl.select(pl.when(same).then(found).otherwise(-1)).to_series()
