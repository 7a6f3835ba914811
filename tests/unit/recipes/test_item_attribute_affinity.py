"""Users for items with given attributes."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.item_attribute_affinity import NO_ATTRIBUTES
from airflow_provider_personalize.local.scoring.selection import Masks, Selection
from tests.unit.recipes import planted

RECIPE = "aws-item-attribute-affinity"
ITEMS = planted.schema(
    "Items",
    planted.text("ITEM_ID"),
    planted.text("GROUP", categorical=True),
    planted.text("PLOT", textual=True),
    planted.text("MAKER"),
    planted.text("TITLE"),
    planted.text("LAND"),
    {"name": "YEAR", "type": ["null", "int"]},
    {"name": "Price", "type": "float"},
    {"name": "SOLD", "type": "boolean"},
    {"name": "CREATION_TIMESTAMP", "type": "long"},
)


def datasets():
    """Group by parity, "both" beside it for items 0 to 9; each further column but the reserved and textual ones."""
    usual = planted.datasets()
    n = np.arange(len(usual.items))
    items = usual.items.select(
        "ITEM_ID",
        pl.when(pl.Series(n < 10)).then(pl.col("GROUP") + "|both").otherwise(pl.col("GROUP")).alias("GROUP"),
        "PLOT",
        pl.Series("MAKER", [f'A "fine" & small, maker {k % 2}' for k in n]),
        pl.Series("TITLE", [f"title {k}" for k in n]),
        pl.Series("LAND", ["here"] * len(n)),
        pl.Series("YEAR", [None if k % 4 > 1 else 1990 + int(k) % 4 for k in n], dtype=pl.Int32),
        pl.Series("PRICE", [0.1 if k % 2 else 2.0 for k in n], dtype=pl.Float32),
        pl.Series("SOLD", [bool(k % 2) for k in n]),
        pl.Series("CREATION_TIMESTAMP", n % 2),
    )
    return Datasets(usual.interactions, items, usual.users, usual.schemas | {"ITEMS": ITEMS})


@pytest.fixture(scope="module")
def model():
    return RECIPES[RECIPE].fit(datasets(), TrainingConfig(seed=3))


def ask(model, *queries, k=planted.USERS // 2, selection=None):
    answer = model.answer([None if q is None else {"itemAttributes": q} for q in queries], k, selection)
    assert answer.scores is None
    return [[label.decode().strip('"') for label in row] for row in model.labels.rows(answer.ids)], answer.errors


def share(users, parity):
    return np.mean([int(user[1:]) % 2 == parity for user in users])


@pytest.mark.parametrize(
    ("query", "parity"),
    [
        ('ITEMS.GROUP = "even"', 0),
        ('items.group = "odd"', 1),
        ("ITEMS.YEAR = 1991", 1),
        ("ITEMS.YEAR = 1990.0", 0),
        ("ITEMS.PRICE = 0.1", 1),
        ("ITEMS.PRICE = 2", 0),
        (r'ITEMS.MAKER = "A \"fine\" & small, maker 1"', 1),
        ('ITEMS.GROUP = "both" AND ITEMS.GROUP = "odd"', 1),
        ('ITEMS.GROUP = "both" AND ITEMS.PRICE = 2 AND ITEMS.YEAR = 1990', 0),
    ],
)
def test_users_of_the_items_that_hold_all_terms_come_first(model, query, parity):
    (users,), errors = ask(model, query)
    assert errors == {}
    assert len(users) == len(set(users)) == 30
    assert share(users, parity) > 0.95


def test_terms_are_joined_by_and_not_or(model):
    (both, odd), _ = ask(model, 'ITEMS.GROUP = "both"', 'ITEMS.GROUP = "both" AND ITEMS.GROUP = "odd"')
    assert 0.2 < share(both, 1) < 0.8
    assert share(odd, 1) > 0.95


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('ITEMS.GROUP "x"', '"itemAttributes": .*column 13'),
        (
            'ITEMS.GROUP = "odd" AND ITEMS.COLOUR = "red"',
            r"ITEMS\.COLOUR is no attribute that was trained on; those are GROUP, MAKER, PRICE, YEAR\. \(column 25\)",
        ),
        ('ITEMS.PLOT = "x"', "ITEMS.PLOT is textual"),
        ('ITEMS.TITLE = "title 3"', "ITEMS.TITLE is no attribute"),  # all distinct
        ('ITEMS.LAND = "here"', "ITEMS.LAND is no attribute"),  # all alike
        ("ITEMS.CREATION_TIMESTAMP = 1", "ITEMS.CREATION_TIMESTAMP is no attribute"),
        ('ITEMS.GROUP = "Odd"', r'No item with interactions has ITEMS\.GROUP = "Odd".*\(column 1\)'),
        ("ITEMS.YEAR = 1990.5", "No item with interactions has"),
        ("ITEMS.YEAR = 99999999999", "No item with interactions has"),
        ("ITEMS.PRICE = 1e300", "No item with interactions has"),
        ('ITEMS.YEAR = "1990"', r"ITEMS\.YEAR is a number: write it without quotes"),
        ("ITEMS.GROUP = 7", r"ITEMS\.GROUP is text: put it in double quotes"),
        ('ITEMS.GROUP = "odd" AND ITEMS.GROUP = "even"', "No item holds all of"),
    ],
)
def test_a_query_that_cannot_be_answered_costs_its_row_and_says_where(model, query, message):
    found, errors = ask(model, 'ITEMS.GROUP = "odd"', query, None)
    assert [len(row) for row in found] == [30, 0, 0]
    assert list(errors) == [1]
    assert re.search(message, errors[1])


def test_any_block_size_gives_the_same_answers(model):
    queries = ['ITEMS.GROUP = "odd"', "?", "ITEMS.YEAR = 1990", None, 'ITEMS.GROUP = "both"']
    whole, _ = ask(model, *queries, k=17)
    assert [ask(model, query, k=17)[0][0] for query in queries] == whole


def test_a_filter_leaves_out_users(model):
    few = Selection(masks=Masks.shared(np.arange(planted.USERS) < 5, 1))
    (users,), _ = ask(model, 'ITEMS.GROUP = "odd"', selection=few)
    assert sorted(users) == planted.USER_IDS[:5]


def test_attributes_of_items_without_interactions_are_not_trained_on():
    data = datasets()
    items = data.items.with_columns(
        pl.when(pl.col("ITEM_ID").str.starts_with("new")).then(pl.lit("unborn")).otherwise("GROUP").alias("GROUP")
    )
    model = RECIPES[RECIPE].fit(replace(data, items=items), TrainingConfig(seed=3))
    assert "No item with interactions has" in ask(model, 'ITEMS.GROUP = "unborn"')[1][0]


@pytest.mark.parametrize("columns", [[], ["LAND", "TITLE"], ["PLOT", "SOLD"]])
def test_without_an_attribute_that_tells_items_apart_it_does_not_train(columns):
    data = datasets()
    fields = [f for f in ITEMS.fields if f.name in ("ITEM_ID", *columns)]
    bare = replace(data, schemas=data.schemas | {"ITEMS": replace(ITEMS, fields=tuple(fields))})
    for given in (bare, planted.datasets(metadata=False)):
        with pytest.raises(TrainingError) as failure:
            RECIPES[RECIPE].fit(given, TrainingConfig())
        assert str(failure.value) == NO_ATTRIBUTES


def test_the_manifest_is_json_and_counts_attributes(model):
    assert json.loads(json.dumps(model.manifest))["counts"]["attributes"] == 3 + 2 + 2 + 2
