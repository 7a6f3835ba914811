"""A training as its solution version shows it afterwards: its measures, and what a search for hyperparameters found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from airflow_provider_personalize.local.recipes import RECIPES
from airflow_provider_personalize.local.work import training
from tests.backends import call, run_jobs
from tests.jobs.conftest import Jobs

RECIPE = "arn:aws:personalize:::recipe/aws-user-personalization"
RANKING_METRICS = {
    "coverage",
    "mean_reciprocal_rank_at_25",
    *(f"{name}_at_{k}" for name in ("normalized_discounted_cumulative_gain", "precision") for k in (5, 10, 25)),
}


def test_metrics_bear_the_services_names_and_lie_between_0_and_1(jobs: Jobs) -> None:
    measured = call(jobs.backend, "GetSolutionMetrics", solutionVersionArn=jobs.arns.personalization)
    assert measured["solutionVersionArn"] == jobs.arns.personalization
    assert measured["metrics"].keys() == RANKING_METRICS
    assert all(0 <= value <= 1 and value == round(value, 4) for value in measured["metrics"].values())


def test_segments_have_metrics_of_their_own(jobs: Jobs) -> None:
    measured = call(jobs.backend, "GetSolutionMetrics", solutionVersionArn=jobs.arns.segmentation)
    assert measured["metrics"].keys() == {"coverage", "hits_at_1_percent", "recall_at_1_percent"}


def test_a_search_trains_within_its_ranges_and_says_what_it_chose(jobs: Jobs) -> None:
    dimension = {"name": "hidden_dimension", "minValue": 32, "maxValue": 34}
    config = {
        "hpoConfig": {
            "hpoResourceConfig": {"maxNumberOfTrainingJobs": "2", "maxParallelTrainingJobs": "1"},
            "algorithmHyperParameterRanges": {"integerHyperParameterRanges": [dimension]},
        }
    }
    solution = call(
        jobs.backend,
        "CreateSolution",
        name="searched",
        datasetGroupArn=jobs.arns.group,
        recipeArn=RECIPE,
        performHPO=True,
        solutionConfig=config,
    )
    version = call(jobs.backend, "CreateSolutionVersion", **solution)
    run_jobs(jobs.backend)
    described = call(jobs.backend, "DescribeSolutionVersion", **version)["solutionVersion"]
    assert described["status"] == "ACTIVE", described
    assert described["performHPO"] is True
    chosen = described["tunedHPOParams"]["algorithmHyperParameters"]
    assert 32 <= int(chosen["hidden_dimension"]) <= 34


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_model_that_could_not_score_is_refused(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, number: float
) -> None:
    class Unlucky:
        def fit(self, *args: object) -> object:
            model = RECIPES["aws-popularity-count"].fit(*args)
            name, array = next((name, array) for name, array in model.arrays.items() if array.dtype.kind == "f")
            array = array.copy()
            array[-1] = number
            return replace(model, arrays={**model.arrays, name: array})

    monkeypatch.setattr(training, "RECIPES", {"aws-popularity-count": Unlucky()})
    recipe = RECIPE.replace("user-personalization", "popularity-count")
    name = f"unlucky-{request.node.callspec.id}"
    solution = call(jobs.backend, "CreateSolution", name=name, datasetGroupArn=jobs.arns.group, recipeArn=recipe)
    version = call(jobs.backend, "CreateSolutionVersion", **solution)
    run_jobs(jobs.backend)
    described = call(jobs.backend, "DescribeSolutionVersion", **version)["solutionVersion"]
    assert described["status"] == "CREATE FAILED"
    assert "hold NaN or infinite numbers" in described["failureReason"]
    assert not training.model_directory(jobs.backend.root, version["solutionVersionArn"]).exists()
