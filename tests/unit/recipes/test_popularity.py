"""One list for everyone: what most users have, and what gains fastest."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.popularity import TRENDS, trend_accuracy
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from tests.unit.recipes import planted

HOUR = 3600
USUAL = [(f"user{u:02d}", f"item{i:02d}", 100 * i, "click", 1.0) for u in range(30) for i in range(40)]


def fit(recipe, rows, **hyperparameters):
    return RECIPES[recipe].fit(planted.datasets(rows, metadata=False), TrainingConfig(hyperparameters))


def names(model, answer):
    return [[label.decode().strip('"') for label in row] for row in model.labels.rows(answer.ids)]


@pytest.fixture(scope="module")
def model():
    """Each of item00 to item39 has 30 users; "favourite" has 31; "addictive" is clicked 500 times, by one user."""
    fans = [(f"fan{n:02d}", "favourite", n, "click", 1.0) for n in range(31)]
    addict = [("addict", "addictive", n, "click", 1.0) for n in range(500)]
    return fit("aws-popularity-count", [*USUAL, *fans, *addict])


class TestPopularityCount:
    def test_items_are_ranked_by_their_number_of_users(self, model):
        (found,) = names(model, model.answer([{}], 100))
        assert found == ["favourite", *[f"item{i:02d}" for i in range(40)], "addictive"]

    def test_every_row_gets_the_same_list_without_scores(self, model):
        answer = model.answer([{"userId": "user03"}, {}, None, {"itemId": "item01"}, {"userId": "nobody"}], 4)
        assert answer.scores is None
        assert [row == ["favourite", "item00", "item01", "item02"] for row in names(model, answer)] == [
            *[True] * 2,
            False,
            *[True] * 2,
        ]
        assert names(model, answer)[2] == []

    def test_a_filter_leaves_out_items_row_by_row(self, model):
        favourite = model.answer_ids.to_list().index("favourite")
        selection = Selection(excluded=Csr(np.array([0, 1, 1]), np.array([favourite], np.int32)))
        found = names(model, model.answer([{}, {}], 2, selection))
        assert found == [["item00", "item01"], ["favourite", "item00"]]


class TestTrendingNow:
    END = 1_700_000_000

    def rows(self, *recent):
        """``recent``: (item, interval counted back from the newest event, how many), intervals of two hours."""
        return USUAL + [
            (f"late{n}", item, self.END - interval * 2 * HOUR - n, "click", 1.0)
            for item, interval, times in recent
            for n in range(times)
        ]

    def test_the_fastest_increase_comes_first_and_the_rest_by_popularity(self):
        model = fit(
            "aws-trending-now",
            self.rows(("steady", 1, 50), ("steady", 0, 50), ("rising", 1, 2), ("rising", 0, 40), ("falling", 1, 30)),
        )
        (found,) = names(model, model.answer([{}], 100))
        assert model.manifest["trending"]
        assert found[:2] == ["rising", "steady"]  # of those that do not move, steady has the most users
        assert found[-1] == "falling"

    def test_without_interactions_in_both_intervals_it_falls_back_to_popular_items(self):
        model = fit("aws-trending-now", self.rows(("new", 0, 5)))
        assert not model.manifest["trending"]
        assert names(model, model.answer([{}], 3)) == [["item00", "item01", "item02"]]

    def test_the_interval_is_chosen(self):
        # In half an hour "sudden" went from 0 to 9; over two hours both have grown by as much as they have events.
        rows = self.rows(("other", 1, 1), ("sudden", 0, 9), ("eager", 0.3, 20))
        for frequency, first in (("30 minutes", "sudden"), ("2 hours", "eager")):
            model = fit("aws-trending-now", rows, trend_discovery_frequency=frequency)
            assert names(model, model.answer([{}], 1)) == [[first]]

    def test_a_trend_that_goes_on_was_predicted(self):
        """ "rising" has grown from 2 to 20 to 90: of all growth in the last interval it has what it should have."""
        rows = self.rows(("rising", 2, 2), ("rising", 1, 20), ("rising", 0, 90))
        metrics = fit("aws-trending-now", rows).manifest["metrics"]
        assert metrics["trend_prediction_accuracy"] == 1
        assert {"coverage", "mean_reciprocal_rank_at_25", "precision_at_25"} <= metrics.keys()

    def test_a_trend_that_came_out_of_nothing_was_not(self):
        usual = [(f"u{u}", f"old{i}", 100 * i, "click", 1.0) for u in range(30) for i in range(TRENDS)]
        rows = usual + self.rows(("first", 2, 1), ("first", 1, 30), ("first", 0, 32), ("sudden", 0, 18))[len(USUAL) :]
        assert fit("aws-trending-now", rows).manifest["metrics"]["trend_prediction_accuracy"] == 0.1

    def test_the_accuracy_of_trends_is_the_share_of_the_greatest_growth(self):
        growth = np.array([5, -3, 10, 0, 5])
        assert trend_accuracy(np.array([2, 1, -1], np.int32), growth) == 0.5
        assert trend_accuracy(np.array([2], np.int32), np.zeros(3, np.int64)) == 0

    def test_an_interval_that_the_service_does_not_have_is_refused(self):
        with pytest.raises(TrainingError, match="trend_discovery_frequency is '5 hours'; it must be one of 30 minutes"):
            fit("aws-trending-now", USUAL, trend_discovery_frequency="5 hours")
