"""Recommendations that lean towards a column of numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local.datasets.schema import Field
from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.model import Objective
from airflow_provider_personalize.local.recipes.objective import lean, rewards
from tests.unit.recipes import planted


def priced(price=float):
    """The planted data with a price for the items i00, i01, ...; the new ones have none."""
    datasets = planted.datasets()
    prices = [price(number) for number in range(planted.ITEMS)] + [None] * len(planted.NEW_ITEMS)
    items = datasets.items.with_columns(pl.Series("PRICE", prices, dtype=pl.Float64))
    schema = datasets.schemas["ITEMS"]
    schema = replace(schema, fields=(*schema.fields, Field("Price", "double", nullable=True)))
    return replace(datasets, items=items, schemas={**datasets.schemas, "ITEMS": schema})


def ids_of(datasets):
    return datasets.items["ITEM_ID"].sort()


def test_the_lean_is_the_deviation_from_the_mean_times_the_sensitivity():
    datasets = priced(lambda item: 10.0 * (item % 2))
    for sensitivity, factor in (("OFF", 0), ("LOW", 0.25), ("MEDIUM", 0.5), ("HIGH", 1)):
        leaning = lean(datasets, Objective("PRICE", sensitivity), ids_of(datasets))
        assert leaning[:4] == pytest.approx(factor * np.array([-1, 1, -1, 1]))
        assert leaning[-2:].tolist() == [0, 0]


def test_without_an_objective_there_is_none():
    datasets = priced()
    assert not lean(datasets, None, ids_of(datasets)).any()
    assert rewards(datasets, None, ids_of(datasets)) is None


def test_far_values_do_not_rule_alone():
    datasets = priced(lambda item: 1e9 if item == 7 else 1.0)
    assert lean(datasets, Objective("price", "HIGH"), ids_of(datasets)).max() == 3


@pytest.mark.parametrize("column", ["GROUP", "NOWHERE"])
def test_a_column_that_holds_no_numbers_fails_the_training(column):
    with pytest.raises(TrainingError, match=f"The objective {column} is no numeric column of the Items dataset"):
        lean(priced(), Objective(column, "LOW"), ids_of(priced()))


def test_a_higher_sensitivity_recommends_dearer_items():
    def mean_price(sensitivity):
        config = TrainingConfig(seed=3, objective=Objective("PRICE", sensitivity))
        model = RECIPES["aws-user-personalization"].fit(priced(), config)
        assert 0 <= model.manifest["metrics"]["average_rewards_at_k"] <= 1
        return model.answer([{"userId": user} for user in planted.USER_IDS], 10).ids.mean()  # i00, i01, ... in order

    off, medium, high = (mean_price(sensitivity) for sensitivity in ("OFF", "MEDIUM", "HIGH"))
    assert off < medium < high
