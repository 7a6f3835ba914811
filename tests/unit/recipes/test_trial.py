"""What the recipes that know no users say of their quality."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig
from airflow_provider_personalize.local.recipes.events import Events
from airflow_provider_personalize.local.recipes.model import Answer
from airflow_provider_personalize.local.recipes.trial import measured
from tests.unit.recipes import planted


@pytest.mark.parametrize("recipe", ["aws-popularity-count", "aws-sims", "aws-similar-items", "aws-semantic-similarity"])
def test_the_service_s_metrics_are_in_the_manifest(trained, recipe):
    metrics = trained(recipe).manifest["metrics"]
    assert {"coverage", "mean_reciprocal_rank_at_25", "precision_at_5"} <= metrics.keys()
    assert all(0 <= value <= 1 for value in metrics.values())


@pytest.mark.parametrize("recipe", ["aws-popularity-count", "aws-trending-now", "aws-sims", "aws-similar-items"])
def test_what_a_user_was_given_is_not_recommended_to_her_again(recipe):
    """All have the same nine items, the most popular, and then one of ten: these alone are left to recommend."""
    rows = [
        (f"u{user:03d}", item, time, "click", 1.0)
        for user in range(200)
        for time, item in enumerate([*(f"all{n}" for n in range(9)), f"last{user % 10}"])
    ]
    metrics = RECIPES[recipe].fit(planted.datasets(rows, metadata=False), TrainingConfig(seed=1)).manifest["metrics"]
    assert metrics["coverage"] == pytest.approx(10 / 19, abs=1e-4)
    assert metrics["mean_reciprocal_rank_at_25"] > 1 / 10


class Next:
    """Answers item n with item n + 1 alone."""

    def __init__(self, item_ids):
        self.item_ids = item_ids

    def answer(self, rows, num_results, selection):
        assert num_results == 25
        own = np.array([int(row["itemId"][1:]) for row in rows])  # the newest of the nine that a user was given
        for before, allowed in ((0, False), (8, False), (9, True), (-1, True)):
            assert (selection.allows(np.arange(len(rows)), own - before) == allowed)[own >= before].all()
        ids = np.full((len(rows), num_results), -1, np.int32)
        ids[:, 0] = [int(row["itemId"][1:]) + 1 for row in rows]
        return Answer(ids, None, {})


def test_a_held_out_user_is_asked_for_by_the_newest_item_before_those_that_count():
    """Each of 40 users has ten items in a row; the newest is the truth, and the one before it is asked about."""
    user = np.repeat(np.arange(40, dtype=np.int32), 10)
    item = (np.tile(np.arange(9, -1, -1, dtype=np.int32), 40) + user).astype(np.int32)
    ids = [pl.Series("id", [f"{letter}{n:02d}" for n in range(count)]) for letter, count in (("u", 40), ("i", 60))]
    events = Events(*ids, user, item, np.tile(np.arange(10, dtype=np.int32), 40))
    trained_on = []

    def fit(part):
        trained_on.append(part)
        return Next(part.item_ids)

    metrics = measured(fit, events, seed=1)
    assert metrics["mean_reciprocal_rank_at_25"] == 1.0
    assert metrics["precision_at_5"] == 0.2
    assert metrics["coverage"] == pytest.approx(4 / 60, abs=1e-4)
    assert len(np.unique(trained_on[0].user)) == 36  # nine tenths of the users
