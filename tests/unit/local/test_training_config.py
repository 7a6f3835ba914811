"""A solution's configuration as recipes read it."""

from __future__ import annotations

from typing import Any

from airflow_provider_personalize.local.recipes.model import EventParameter, Objective, TrainingConfig
from airflow_provider_personalize.local.recipes.search import Choice, Real, Whole
from airflow_provider_personalize.local.service.recipes import CATALOGUE
from airflow_provider_personalize.local.work.training import training_config

V1, V2 = "aws-user-personalization", "aws-user-personalization-v2"


def configured(recipe: str = V1, version: dict[str, Any] | None = None, **config: Any) -> TrainingConfig:
    return training_config({"solutionConfig": config, **(version or {})}, CATALOGUE[recipe])


def test_nothing_asked_is_nothing_set() -> None:
    assert training_config({"solutionConfig": None}, CATALOGUE[V1]) == TrainingConfig()


def test_numbers_come_as_strings() -> None:
    config = configured(version={"eventType": "buy"}, eventValueThreshold="2.5", algorithmHyperParameters={"a": "1"})
    assert config.event_type == "buy"
    assert config.event_value_threshold == 2.5
    assert config.hyperparameters == {"a": "1"}


def test_events_have_their_own_thresholds_and_weights() -> None:
    listed = [{"eventType": "buy", "eventValueThreshold": 3.0, "weight": 1.0}, {"eventType": "view"}]
    config = configured(V2, eventsConfig={"eventParametersList": listed})
    assert config.event_parameters == (EventParameter("buy", 3.0, 1.0), EventParameter("view"))


def test_an_objective_without_sensitivity_is_of_medium_one() -> None:
    assert configured(optimizationObjective={"itemAttribute": "PRICE"}).objective == Objective("PRICE", "MEDIUM")
    off = {"itemAttribute": "PRICE", "objectiveSensitivity": "OFF"}
    assert configured(optimizationObjective=off).objective == Objective("PRICE", "OFF")


class TestSearch:
    ASKED = {"performHPO": True}  # noqa: RUF012

    def test_there_is_none_unless_asked(self) -> None:
        assert configured(hpoConfig={"hpoResourceConfig": {"maxNumberOfTrainingJobs": "3"}}).search is None

    def test_the_recipe_s_tunable_ranges_are_searched(self) -> None:
        search = configured(version=self.ASKED).search
        assert search
        assert search.jobs == 8
        assert search.ranges["hidden_dimension"] == Whole(32, 256)
        assert search.ranges["recency_mask"] == Choice(("True", "False"))

    def test_a_range_stays_one_of_reals_though_its_ends_are_whole(self) -> None:
        one = {"continuousHyperParameterRanges": [{"name": "popularity_discount_factor", "minValue": 0, "maxValue": 1}]}
        for hpo in ({}, {"algorithmHyperParameterRanges": one}):
            search = configured("aws-sims", version=self.ASKED, hpoConfig=hpo).search
            assert search
            assert search.ranges["popularity_discount_factor"] == Real(0.0, 1.0)
            assert search.ranges["min_cointeraction_count"] == Whole(0, 10)

    def test_a_solution_narrows_them(self) -> None:
        ranges = {
            "integerHyperParameterRanges": [{"name": "hidden_dimension", "minValue": 40}],
            "categoricalHyperParameterRanges": [{"name": "recency_mask", "values": ["True"]}],
        }
        hpo = {
            "hpoResourceConfig": {"maxNumberOfTrainingJobs": "3", "maxParallelTrainingJobs": "2"},
            "algorithmHyperParameterRanges": ranges,
        }
        search = configured(version=self.ASKED, hpoConfig=hpo).search
        assert search
        assert search.jobs == 3
        assert search.ranges["hidden_dimension"] == Whole(40, 256)
        assert search.ranges["recency_mask"] == Choice(("True",))
        assert search.ranges["bptt"] == Whole(2, 32)

    def test_a_recipe_without_tunable_parameters_has_nothing_to_search(self) -> None:
        search = configured(V2, version=self.ASKED).search
        assert search
        assert search.ranges == {}
