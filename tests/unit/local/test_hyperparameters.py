"""A solution's configuration is checked against its recipe when it is created, not hours later when it trains."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.recipes import RECIPES
from airflow_provider_personalize.local.service import recipes
from tests.backends import Refused, call, schema

PERSONALIZATION, SIMS, SIMILAR = "aws-user-personalization", "aws-sims", "aws-similar-items"
V2, COUNT, TRENDING = "aws-user-personalization-v2", "aws-popularity-count", "aws-trending-now"
VALUES, FEATURES = "algorithmHyperParameters", "featureTransformationParameters"
LONGEST = "max_user_history_length_percentile"


def create(backend: Backend, group: str, recipe: str, config: dict[str, Any], **more: Any) -> str:
    arn = f"arn:aws:personalize:::recipe/{recipe}"
    parameters = {"name": "s", "datasetGroupArn": group, "recipeArn": arn, "solutionConfig": config, **more}
    return str(call(backend, "CreateSolution", **parameters)["solutionArn"])


def ranges(kind: str, **bounds: Any) -> dict[str, Any]:
    return {"hpoConfig": {"algorithmHyperParameterRanges": {f"{kind}HyperParameterRanges": [bounds]}}}


def columns(excluded: dict[str, list[str]], included: dict[str, list[str]]) -> dict[str, Any]:
    return {"trainingDataConfig": {"excludedDatasetColumns": excluded, "includedDatasetColumns": included}}


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
        (TRENDING, {FEATURES: {"trend_discovery_frequency": "1 day"}}),
        (V2, {"eventsConfig": {"eventParametersList": [{"eventType": "buy", "weight": 0.5}, {"eventType": "view"}]}}),
        (V2, {"optimizationObjective": {"itemAttribute": "PRICE"}}),
        (COUNT, {"autoTrainingConfig": {"schedulingExpression": "rate(1 day)"}}),
        (COUNT, {"autoTrainingConfig": {"schedulingExpression": "rate(30 days)"}}),
        (V2, columns(excluded={"ITEMS": ["A"]}, included={"USERS": ["B"]})),
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
        (TRENDING, {FEATURES: {"trend_discovery_frequency": "1 week"}}, "30 minutes"),
        (TRENDING, {FEATURES: {"trend_discovery_frequency": "1 Day"}}, "1 day, not '1 Day'"),
        (
            "aws-hrnn-coldstart",
            {FEATURES: {"cold_start_relative_from": "latestitem"}},
            "one of latestItem, currentTime",
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
        (COUNT, {"optimizationObjective": {"itemAttribute": "PRICE"}}, "not aws-popularity-count"),
        (PERSONALIZATION, {"optimizationObjective": {}}, "needs an itemAttribute"),
        (PERSONALIZATION, {"optimizationObjective": {"objectiveSensitivity": "LOW"}}, "needs an itemAttribute"),
        (V2, {"eventsConfig": {"eventParametersList": [{"eventType": "a"}, {"weight": 1}]}}, "[1] needs an eventType"),
        (PERSONALIZATION, ranges("integer", minValue=40), "integerHyperParameterRanges[0] has no name"),
        (PERSONALIZATION, ranges("categorical", name="recency_mask", values=[]), "[0] (recency_mask) has no values"),
        (PERSONALIZATION, ranges("categorical", name="recency_mask"), "give some of True, False"),
        (COUNT, {"autoTrainingConfig": {"schedulingExpression": "rate(400 days)"}}, "1 to 30 days, not 400"),
        (COUNT, {"autoTrainingConfig": {"schedulingExpression": "rate(0 days)"}}, "1 to 30 days, not 0"),
        (V2, columns(excluded={"Items": ["A"]}, included={"ITEMS": ["B"]}), "names ITEMS more than once"),
        (V2, columns(excluded={"Items": ["A"], "ITEMS": ["B"]}, included={}), "names ITEMS more than once"),
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


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"eventsConfig": {"eventParametersList": [{"weight": 1}]}}, "solutionUpdateConfig.eventsConfig.eventParam"),
        ({"autoTrainingConfig": {"schedulingExpression": "rate(31 days)"}}, "solutionUpdateConfig.autoTrainingConfig"),
    ],
)
def test_an_update_is_checked_as_a_creation_is(backend: Backend, group: str, config: dict[str, Any], said: str) -> None:
    solution = create(backend, group, V2, {})
    with pytest.raises(Refused, match=said) as refused:
        call(backend, "UpdateSolution", solutionArn=solution, solutionUpdateConfig=config)
    assert refused.value.code == "InvalidInputException"


def test_an_objective_is_held_against_the_items_schema_where_there_is_one(backend: Backend, group: str) -> None:
    text = schema("Items", ITEM_ID="string", GENRES={"type": "string", "categorical": True}, Price="float")
    items = call(backend, "CreateSchema", name="items", schema=text)
    call(backend, "CreateDataset", name="items", **items, datasetGroupArn=group, datasetType="Items")
    for column in ("GENRES", "NOWHERE", ""):
        with pytest.raises(Refused, match="InvalidInputException"):
            create(backend, group, V2, {"optimizationObjective": {"itemAttribute": column}})
    with pytest.raises(Refused, match=r"numeric column of the Items schema \(Price\), not 'GENRES'"):
        create(backend, group, V2, {"optimizationObjective": {"itemAttribute": "GENRES"}})
    assert create(backend, group, V2, {"optimizationObjective": {"itemAttribute": "PRICE"}})


def test_incremental_updates_are_for_semantic_similarity(backend: Backend, group: str) -> None:
    with pytest.raises(Refused, match="aws-semantic-similarity"):
        create(backend, group, SIMS, {}, performIncrementalUpdate=True)
