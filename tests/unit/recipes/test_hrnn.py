"""The legacy recipes of personalization, and how new items find their place in one of them."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError, hrnn
from airflow_provider_personalize.local.recipes.item_age import creation_times
from tests.unit.recipes import planted

DAY = 86_400
NEWEST = max(row[2] for row in planted.events())


def names(model, block, k=100):
    return [[label.decode().strip('"') for label in row] for row in model.labels.rows(model.answer(block, k).ids)]


@pytest.mark.parametrize(
    ("recipe", "same"),
    [
        ("aws-hrnn", {"metadata": False}),
        ("aws-hrnn-metadata", {"metadata": True}),
        ("aws-hrnn-coldstart", {"metadata": True}),  # nothing is cold here
    ],
)
def test_they_train_and_answer_as_user_personalization_does(trained, recipe, same):
    model = trained(recipe)
    assert model.recipe == recipe
    assert model.arrays["user_factors"].shape[0] == planted.USERS + 2 * same["metadata"]
    found = names(model, [{"userId": user} for user in planted.USER_IDS], k=15)
    own = [int(item[-1]) % 2 == user % 2 for user, row in enumerate(found) for item in row]
    assert np.mean(own) > 0.95


class TestColdstart:
    """Item new-0 is even by its metadata; ten odd users have it, and it is a day old."""

    def fit(self, age=1, users=10, **hyperparameters):
        rows = [(user, "new-0", NEWEST - age * DAY, "click", 1.0) for user in planted.USER_IDS[1 : 2 * users : 2]]
        return RECIPES["aws-hrnn-coldstart"].fit(
            planted.datasets([*planted.events(), *rows]), TrainingConfig(hyperparameters, seed=3)
        )

    def ranks_of_new_0(self, model):
        """Its mean rank for even and for odd users."""
        found = names(model, [{"userId": user} for user in planted.USER_IDS])
        ranks = np.array([row.index("new-0") for row in found])
        return ranks[::2].mean(), ranks[1::2].mean()

    def test_a_cold_item_stands_where_its_metadata_puts_it(self):
        model = self.fit()
        even, odd = self.ranks_of_new_0(model)
        assert even < odd
        assert model.manifest["counts"]["cold_items"] == 2  # the other one has no interactions at all
        assert model.manifest["counts"]["interactions"] == len(planted.events())

    @pytest.mark.parametrize(
        "warm",
        [
            {"cold_start_max_interactions": "9"},
            {"cold_start_max_duration": "0.5"},
            {"cold_start_max_duration": "6", "cold_start_relative_from": "currentTime"},
        ],
    )
    def test_another_item_is_trained_on_its_interactions(self, warm):
        model = self.fit(**warm)
        even, odd = self.ranks_of_new_0(model)
        assert odd <= even
        assert model.manifest["counts"]["interactions"] == len(planted.events()) + 10

    def test_the_current_time_may_be_what_age_is_relative_to(self, monkeypatch):
        monkeypatch.setattr(hrnn.time, "time", lambda: NEWEST + 2.0 * DAY)
        model = self.fit(cold_start_relative_from="currentTime")
        assert model.manifest["counts"]["cold_items"] == 2

    def test_a_parameter_out_of_range_is_named(self):
        with pytest.raises(
            TrainingError, match="cold_start_relative_from is 'yesterday'; it must be one of latestItem"
        ):
            self.fit(cold_start_relative_from="yesterday")
        with pytest.raises(TrainingError, match="cold_start_max_interactions is 0"):
            self.fit(cold_start_max_interactions="0")

    def test_without_items_nothing_is_cold(self):
        model = RECIPES["aws-hrnn-coldstart"].fit(planted.datasets(metadata=False), TrainingConfig())
        assert model.manifest["counts"]["cold_items"] == 0


def test_an_item_is_as_old_as_its_record_its_first_interaction_or_new():
    interactions = pl.DataFrame(
        {"USER_ID": ["u", "u", "v"], "ITEM_ID": ["a", "b", "b"], "TIMESTAMP": [50, 30, 20]},
    )
    items = pl.DataFrame({"ITEM_ID": ["a", "b", "c"], "CREATION_TIMESTAMP": [7, None, None]})
    for given, times in ((items, [7, 20, 50]), (items.drop("CREATION_TIMESTAMP"), [50, 20, 50]), (None, [50, 20, 50])):
        datasets = Datasets(interactions, given, None, {})
        assert creation_times(datasets, pl.Series("id", ["a", "b", "c"])).to_list() == times
    assert time.time() > NEWEST  # which the tests of the current time rely on
