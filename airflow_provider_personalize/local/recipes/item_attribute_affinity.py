"""aws-item-attribute-affinity: users for items with given attributes.

A query's terms are joined by AND: it means the items that hold all of them, and its users are ranked by the mean of
their scores for those items. `segments` says how users are compared. Columns that may be asked about are the strings
(``a|b`` of a categorical one is two values) and numbers of the Items dataset that are not reserved and that tell items
apart: neither all alike nor all distinct, in the service's words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.batch.attribute_query import (
    AttributeQuery,
    AttributeQuerySyntaxError,
    Term,
    parse_attribute_query,
)
from airflow_provider_personalize.local.datasets.dataset import Datasets, encode
from airflow_provider_personalize.local.datasets.schema import Field, FieldType
from airflow_provider_personalize.local.once import once
from airflow_provider_personalize.local.recipes.events import training_events
from airflow_provider_personalize.local.recipes.model import Answer, Model, Row, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.segments import fit_segments
from airflow_provider_personalize.local.recipes.warp import DIMENSION
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from airflow_provider_personalize.local.scoring.topk import top_k

NO_ATTRIBUTES = (
    "Did not find any attribute to train on. There may not be any attribute in the items dataset, or all attribute "
    "values either have same or all distinct values."
)


@dataclass(frozen=True)
class ItemAttributeAffinityModel(Model):
    """arrays: item_factors (i, d), user_factors (u, d), user_bias (u,); attribute_starts (a + 1,) and attribute_items,
    the items of each attribute. ids: users; attributes, as ``GENRES=Comedy``.

    manifest: ``columns``, the type of each column that may be asked about, and ``textual``, which may not.
    """

    answers_with: ClassVar[str] = "users"

    @once
    def _users(self) -> Items:
        return Items(self.arrays["user_factors"], self.arrays["user_bias"])

    def answer(self, block: Sequence[Row], num_results: int, selection: Selection | None = None) -> Answer:
        ids = np.full((len(block), min(num_results, len(self.labels))), -1, np.int32)
        queries: dict[int, NDArray[np.float32]] = {}
        errors: dict[int, str] = {}
        for row, asked in enumerate(block):
            if asked is None:
                continue
            try:
                items = self._items(parse_attribute_query(asked["itemAttributes"]))
            except AttributeQuerySyntaxError as error:
                errors[row] = f'"itemAttributes": {error.reason} (column {error.column})'
            else:
                queries[row] = self.arrays["item_factors"][items].mean(axis=0, dtype=np.float64).astype(np.float32)
        if queries:
            rows = np.array(list(queries))
            ids[rows] = top_k(
                np.stack(list(queries.values())),
                self._users,
                ids.shape[1],
                selection=(selection or Selection()).take(rows),
            ).indices
        return Answer(ids, None, errors)

    def _items(self, query: AttributeQuery) -> NDArray[np.int32]:
        """The items that hold all terms; raises an error that points at the term that no item holds."""
        items = reduce(np.intersect1d, (self._holding(query, term) for term in query.terms))
        if not len(items):
            raise query.error_at(query.terms[0], f"No item holds all of {query}.")
        return items

    def _holding(self, query: AttributeQuery, term: Term) -> NDArray[np.int32]:
        columns = self.manifest["columns"]
        if term.column not in columns:
            reason = "is textual" if term.column in self.manifest["textual"] else "is no attribute that was trained on"
            raise query.error_at(term, f"ITEMS.{term.column} {reason}; those are {', '.join(sorted(columns))}.")
        kind = columns[term.column]
        if isinstance(term.value, str) != (kind == "string"):
            written = "text: put it in double quotes" if kind == "string" else "a number: write it without quotes"
            raise query.error_at(term, f"ITEMS.{term.column} is {written}.")
        keys = pl.Series([_attribute(term.column, kind, term.value)], dtype=pl.String)
        (attribute,) = encode(keys, self.ids["attributes"]).to_numpy()
        if attribute < 0:
            raise query.error_at(
                term, f"No item with interactions has {term}, in the data that the solution version was trained on."
            )
        held = Csr(self.arrays["attribute_starts"], self.arrays["attribute_items"])
        return held.take(np.array([attribute])).indices


@dataclass(frozen=True)
class ItemAttributeAffinity:
    """The recipe."""

    name: str = "aws-item-attribute-affinity"
    model: type[Model] = ItemAttributeAffinityModel

    def fit(self, datasets: Datasets, config: TrainingConfig) -> ItemAttributeAffinityModel:
        dimension = config.whole("hidden_dimension", DIMENSION, 32, 256)
        events = training_events(datasets, config)
        attributes = _attributes(datasets)
        if not attributes:
            raise TrainingError(NO_ATTRIBUTES)
        segments = fit_segments(events, config, dimension)
        holders = (
            pl.concat(table for _, table in attributes)
            .with_columns(pl.col("ITEM_ID").map_batches(partial(encode, ids=segments.item_ids)).alias("item"))
            .filter(pl.col("item") >= 0)
            .sort("attribute", "item")
        )
        starts = holders["attribute"].rle().struct.field("len").cum_sum().to_numpy()
        schema = datasets.schemas["ITEMS"]
        manifest = {
            **config.manifest(),
            **segments.manifest,
            "columns": {field.name.upper(): field.type for field, _ in attributes},
            "textual": [field.name.upper() for field in schema.metadata if field.textual],
            "counts": {
                "users": len(events.user_ids),
                "items": len(segments.item_ids),
                "interactions": len(events),
                "attributes": len(starts),
            },
        }
        arrays: dict[str, NDArray[Any]] = {
            "item_factors": segments.item_factors,
            "user_factors": segments.user_factors,
            "user_bias": segments.user_bias,
            "attribute_starts": np.concatenate(([0], starts)).astype(np.int64),
            "attribute_items": holders["item"].to_numpy().astype(np.int32),
        }
        ids = {"users": events.user_ids, "attributes": holders["attribute"].unique(maintain_order=True)}
        return ItemAttributeAffinityModel(self.name, manifest, arrays, ids)


def _attributes(datasets: Datasets) -> list[tuple[Field, pl.DataFrame]]:
    """Each column that tells items apart, with the (ITEM_ID, attribute) pairs of its values."""
    schema = datasets.schemas.get("ITEMS")
    found: list[tuple[Field, pl.DataFrame]] = []
    if datasets.items is None or schema is None:
        return found
    for field in schema.metadata:
        if field.textual or field.type == "boolean":
            continue
        name = field.name.upper()
        values = datasets.items.select("ITEM_ID", pl.col(name).alias("value"))
        if field.categorical:
            values = values.with_columns(pl.col("value").str.split("|")).explode("value")
        values = values.drop_nulls().unique()
        times = values.group_by("value", maintain_order=True).len()
        if len(times) > 1 and times["len"].max() != 1:
            attributes = [_attribute(name, field.type, value) for value in times["value"].to_list()]
            named = times.select("value", attribute=pl.Series(attributes, dtype=pl.String))
            found.append((field, values.join(named, on="value").select("ITEM_ID", "attribute")))
    return found


def _attribute(column: str, kind: FieldType, value: str | int | float) -> str:
    """The id of an attribute. Numbers that are equal as the column's type have one id."""
    if isinstance(value, str):
        return f"{column}={value}"
    if kind == "float":
        with np.errstate(over="ignore"):
            value = float(np.float32(value))
    whole = math.isfinite(value) and value == int(value)
    return f"{column}={int(value) if whole else value}"
