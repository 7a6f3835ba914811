"""A solution's configuration is checked against its recipe when it is created, not hours later when it trains."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.recipes import RECIPES
from airflow_provider_personalize.local.service import recipes
from tests.backends import Refused, call

PERSONALIZATION, SIMS, SIMILAR = "aws-user-personalization", "aws-sims", "aws-similar-items"
VALUES, FEATURES = "algorithmHyperParameters", "featureTransformationParameters"
LONGEST = "max_user_history_length_percentile"


def create(backend: Backend, group: str, recipe: str, config: dict[str, Any], **more: Any) -> str:
    arn = f"arn:aws:personalize:::recipe/{recipe}"
    parameters = {"name": "s", "datasetGroupArn": group, "recipeArn": arn, "solutionConfig": config, **more}
    return str(call(backend, "CreateSolution", **parameters)["solutionArn"])


def ranges(kind: str, **bounds: Any) -> dict[str, Any]:
    return {"hpoConfig": {"algorithmHyperParameterRanges": {f"{kind}HyperParameterRanges": [bounds]}}}


def test_the_catalogue_says_of_each_recipe_whether_it_trains_here() -> None:
    assert RECIPES.keys() == recipes.BUILT
    assert recipes.CATALOGUE.keys() >= recipes.BUILT


@pytest.mark.parametrize("entry", recipes.CATALOGUE.values(), ids=recipes.CATALOGUE)
def test_every_default_is_within_its_own_range(entry: recipes.CatalogueEntry) -> None:
    for parameter in entry.algorithm + entry.featurization:
        assert parameter.fault(parameter.default) is None, parameter


@pytest.mark.parametrize(
    ("recipe", "config"),
    [
        (
            PERSONALIZATION,
            {VALUES: {"hidden_dimension": "32", "bptt": "2", "recency_mask": "false"}},
        ),
        (PERSONALIZATION, {FEATURES: {LONGEST: "1"}}),
        (PERSONALIZATION, ranges("integer", name="hidden_dimension", minValue=32, maxValue=256)),
        (PERSONALIZATION, ranges("categorical", name="recency_mask", values=["True", "False"])),
        (PERSONALIZATION, {"hpoConfig": {"hpoResourceConfig": {"maxNumberOfTrainingJobs": "40"}}}),
        (SIMS, {VALUES: {"popularity_discount_factor": "0.25", "min_cointeraction_count": "0"}}),
        (SIMS, ranges("continuous", name="popularity_discount_factor", minValue=0.1, maxValue=0.9)),
        (SIMILAR, ranges("integer", name="item_id_hidden_dim", minValue=30, maxValue=200)),
        ("aws-trending-now", {FEATURES: {"trend_discovery_frequency": "1 day"}}),
    ],
)
def test_what_the_recipe_takes_is_taken_and_echoed(
    backend: Backend, group: str, recipe: str, config: dict[str, Any]
) -> None:
    solution = create(backend, group, recipe, config)
    assert call(backend, "DescribeSolution", solutionArn=solution)["solution"]["solutionConfig"] == config


@pytest.mark.parametrize(
    ("recipe", "config", "said"),
    [
        (
            PERSONALIZATION,
            {VALUES: {"hidden_dimension": "31"}},
            "a whole number in [32, 256], not '31'",
        ),
        (PERSONALIZATION, {VALUES: {"hidden_dimension": "64.5"}}, "a whole number"),
        (PERSONALIZATION, {VALUES: {"recency_mask": "maybe"}}, "one of True, False"),
        (PERSONALIZATION, {VALUES: {"depth": "3"}}, "takes bptt, hidden_dimension, recency_mask"),
        (
            PERSONALIZATION,
            {FEATURES: {LONGEST: "99"}},
            "in [0, 1]",
        ),
        (SIMS, {VALUES: {"popularity_discount_factor": "nan"}}, "a number in [0, 1]"),
        (SIMILAR, {VALUES: {"item_id_hidden_dim": "100"}}, "HPO alone"),
        ("aws-popularity-count", {VALUES: {"bptt": "3"}}, "takes none"),
        (
            "aws-trending-now",
            {FEATURES: {"trend_discovery_frequency": "1 week"}},
            "30 minutes",
        ),
        (PERSONALIZATION, ranges("integer", name="hidden_dimension", minValue=16, maxValue=256), "[32, 256]"),
        (PERSONALIZATION, ranges("integer", name="hidden_dimension", minValue=200, maxValue=100), "before it begins"),
        (PERSONALIZATION, ranges("continuous", name="bptt", minValue=2, maxValue=3), "integerHyperParameterRanges"),
        ("aws-item-affinity", ranges("integer", name="hidden_dimension", minValue=32, maxValue=64), "no tunable"),
        (PERSONALIZATION, {"hpoConfig": {"hpoResourceConfig": {"maxNumberOfTrainingJobs": "41"}}}, "[1, 40]"),
        (PERSONALIZATION, {"hpoConfig": {"hpoResourceConfig": {"maxParallelTrainingJobs": "eleven"}}}, "[1, 10]"),
        (PERSONALIZATION, {"eventValueThreshold": "high"}, "eventValueThreshold must be a number"),
        (PERSONALIZATION, {"eventsConfig": {"eventParametersList": [{"eventType": "a"}]}}, "eventsConfig is for"),
        (SIMS, {"optimizationObjective": {"itemAttribute": "PRICE"}}, "optimizationObjective is for"),
    ],
)
def test_what_the_recipe_does_not_take_is_refused_with_its_range(
    backend: Backend, group: str, recipe: str, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused) as refused:
        create(backend, group, recipe, config)
    assert refused.value.code == "InvalidInputException"
    assert said in refused.value.message


def test_hpo_is_for_recipes_with_something_to_tune(backend: Backend, group: str) -> None:
    solution = create(backend, group, SIMS, {}, performHPO=True)
    assert call(backend, "DescribeSolution", solutionArn=solution)["solution"]["performHPO"] is True
    with pytest.raises(Refused, match="no tunable hyperparameter"):
        create(backend, group, "aws-popularity-count", {}, performHPO=True)


def test_incremental_updates_are_for_semantic_similarity(backend: Backend, group: str) -> None:
    with pytest.raises(Refused, match="aws-semantic-similarity"):
        create(backend, group, SIMS, {}, performIncrementalUpdate=True)
