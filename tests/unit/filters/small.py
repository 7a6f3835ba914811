"""Small datasets and models to filter for, and what a selection leaves of a catalogue."""

from __future__ import annotations

import json

import numpy as np
import polars as pl

from airflow_provider_personalize.batch.filter_expression import parse_filter
from airflow_provider_personalize.local.datasets.dataset import COLUMN_TYPES, Datasets
from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.filters import compile_filter
from airflow_provider_personalize.local.recipes.item_affinity import ItemAffinityModel
from airflow_provider_personalize.local.recipes.user_personalization import UserPersonalizationModel

COLUMNS = {
    "Interactions": {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long", "EVENT_TYPE": "string"},
    "Items": {"ITEM_ID": "string", "GENRES": "string", "PRICE": "float", "MAKER": "string", "YEAR": "long"},
    "Users": {"USER_ID": "string", "AGE": "int", "PLAN": "string"},
}
CATEGORICAL = {"GENRES", "PLAN"}


def datasets_of(events, items=(), users=()):
    schemas, tables = {}, {}
    for (name, columns), rows in zip(COLUMNS.items(), (events, items, users), strict=True):
        entries = [
            {"name": column, "type": kind, **({"categorical": True} if column in CATEGORICAL else {})}
            for column, kind in columns.items()
        ]
        schemas[name.upper()] = parse_schema(json.dumps({"type": "record", "name": name, "fields": entries}))
        types = {column: COLUMN_TYPES[kind] for column, kind in columns.items()}
        tables[name.lower()] = pl.DataFrame(list(rows), schema=types, orient="row")
    return Datasets(**tables, schemas=schemas)


def model_of(ids, recipe="aws-user-personalization"):
    """A model without factors that answers with the given ids."""
    kind = ItemAffinityModel if recipe in ("aws-item-affinity", "aws-item-attribute-affinity") else None
    series = pl.Series(sorted(ids), dtype=pl.String)
    return (kind or UserPersonalizationModel)(recipe, {}, {}, {"items": series, "users": series})


def left_by(selection, row, ids):
    """The ids that a selection leaves a row."""
    ids = sorted(ids)
    allowed = selection.allows(np.full(len(ids), row), np.arange(len(ids)))
    return [id_ for id_, left in zip(ids, allowed.tolist(), strict=True) if left]


def filtered(text, datasets, ids, rows, recipe="aws-user-personalization", **settings):
    """For each row the ids that are left (letters as one word), or the text of its error."""
    compiled = compile_filter(parse_filter(text), datasets, model_of(ids, recipe), **settings)
    selection, errors = compiled.select(rows)
    return [errors.get(row) or "".join(left_by(selection, row, ids)) for row in range(len(rows))]
