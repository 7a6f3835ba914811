"""Datasets put together from imports, and ids turned into positions."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.local.datasets.dataset import distinct_ids, encode, load_datasets
from airflow_provider_personalize.local.datasets.schema import parse_schema


@pytest.fixture
def part(tmp_path):
    def write(name, **columns):
        path = tmp_path / f"{name}.arrow"
        pl.DataFrame(columns).write_ipc(path)
        return path

    return write


def schemas(**fields):
    def text(name, names):
        entries = [{"name": n, "type": "long" if n == "TIMESTAMP" else "string"} for n in names]
        return json.dumps({"type": "record", "name": name, "fields": entries})

    return {name.upper(): parse_schema(text(name, names)) for name, names in fields.items()}


EVENTS = schemas(Interactions=["USER_ID", "ITEM_ID", "TIMESTAMP"])


def test_incremental_interactions_are_appended(part):
    first = part("first", USER_ID=["u"], ITEM_ID=["i"], TIMESTAMP=[1])
    second = part("second", USER_ID=["u"], ITEM_ID=["i"], TIMESTAMP=[1])
    datasets = load_datasets({"INTERACTIONS": [first, second]}, EVENTS)
    assert datasets.interactions.rows() == [("u", "i", 1)] * 2
    assert datasets.items is None
    assert datasets.users is None


def test_of_several_records_of_one_item_the_last_counts(part):
    events = part("events", USER_ID=["u"], ITEM_ID=["i"], TIMESTAMP=[1])
    first = part("first", ITEM_ID=["a", "b", "a"], GENRE=["1", "2", "3"])
    second = part("second", ITEM_ID=["b"], GENRE=["4"])
    datasets = load_datasets(
        {"INTERACTIONS": [events], "ITEMS": [first, second]}, EVENTS | schemas(Items=["ITEM_ID", "GENRE"])
    )
    assert sorted(datasets.items.rows()) == [("a", "3"), ("b", "4")]


def test_a_column_added_to_the_schema_is_null_in_older_imports(part):
    events = part("events", USER_ID=["u"], ITEM_ID=["i"], TIMESTAMP=[1])
    old = part("old", USER_ID=["u"], AGE=["1"])
    new = part("new", USER_ID=["v"], AGE=["2"], PLAN=["x"])
    later = EVENTS | schemas(Users=["USER_ID", "AGE", "PLAN", "CITY"])
    datasets = load_datasets({"INTERACTIONS": [events], "USERS": [old, new]}, later)
    assert datasets.users.rows() == [("u", "1", None, None), ("v", "2", "x", None)]
    assert datasets.users.dtypes == [pl.String] * 4


def test_without_an_import_interactions_are_an_empty_table():
    datasets = load_datasets({}, {})
    assert datasets.interactions.is_empty()
    assert datasets.interactions.columns == ["USER_ID", "ITEM_ID", "TIMESTAMP"]
    assert datasets.items is None


@given(columns=st.lists(st.lists(st.text(max_size=4)), min_size=1, max_size=3))
def test_distinct_ids_are_those_of_all_columns_each_once_in_byte_order(columns):
    found = distinct_ids(*(pl.Series(f"column {number}", ids, dtype=pl.String) for number, ids in enumerate(columns)))
    assert found.name == "id"
    assert found.to_list() == sorted({id_ for ids in columns for id_ in ids}, key=str.encode)


@given(
    ids=st.sets(st.text(st.characters(exclude_categories=["Cs"]))),
    others=st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
)
def test_encode_is_a_lookup(ids, others):
    table = pl.Series("id", sorted(ids, key=str.encode), dtype=pl.String)
    position = {value: at for at, value in enumerate(table)}
    asked = [*others, *ids, None]
    found = encode(pl.Series(asked, dtype=pl.String), table)
    assert found.to_list() == [position.get(value, -1) for value in asked]
    assert found.dtype == pl.Int64
