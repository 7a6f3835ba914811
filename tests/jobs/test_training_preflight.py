"""What the preflight finds missing is what the local backend's training fails for, and nothing else is."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_personalize.exceptions import PersonalizePermissionError
from airflow_provider_personalize.local.backend import ACCOUNT, Backend, open_backend
from airflow_provider_personalize.operators.preflight import PersonalizePreflightOperator
from tests.backends import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, ROLE, call, run_jobs, write_data

GENRES = {"ITEMS": ["GENRES"]}
CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("aws-popularity-count", {"eventType": "watch"}, []),
    ("aws-item-attribute-affinity", {}, []),
    ("aws-next-best-action", {}, ["ACTIONS"]),
    ("aws-semantic-similarity", {}, ["ITEMS", "ITEMS"]),
    (
        "aws-item-attribute-affinity",
        {"solutionConfig": {"trainingDataConfig": {"excludedDatasetColumns": GENRES}}},
        ["ITEMS"],
    ),
    ("aws-sims", {"solutionConfig": {"eventValueThreshold": "1"}}, ["INTERACTIONS.EVENT_VALUE"]),
    (
        "aws-personalized-ranking-v2",
        {"solutionConfig": {"optimizationObjective": {"itemAttribute": "PRICE"}}},
        ["ITEMS.PRICE"],
    ),
    (
        "aws-user-personalization-v2",
        {"solutionConfig": {"optimizationObjective": {"itemAttribute": "GENRES"}}},
        ["ITEMS.GENRES"],
    ),
    (
        "aws-sims",
        {"solutionConfig": {"trainingDataConfig": {"includedDatasetColumns": {"ITEMS": ["PRICE"]}}}},
        ["ITEMS.PRICE"],
    ),
    (
        "aws-sims",
        {"solutionConfig": {"trainingDataConfig": {"excludedDatasetColumns": {"USERS": ["AGE"]}}}},
        ["USERS.AGE"],
    ),
]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """Imported interactions with event types and without values, and items with one categorical column.

    The solutions are older than the datasets: ``CreateSolution`` refuses what a schema shows to be missing.
    """
    root = tmp_path_factory.mktemp("preflight")
    (root / "settings.toml").write_text("solutions_per_dataset_group = 20\n")
    backend = open_backend(root)
    write_data(root / "data")
    arn = call(backend, "CreateDatasetGroup", name="preflight")["datasetGroupArn"]
    for number, (recipe, configured, _) in enumerate(CASES):
        named = {"name": f"solution-{number}", "recipeArn": f"arn:aws:personalize:::recipe/{recipe}"}
        call(backend, "CreateSolution", datasetGroupArn=arn, **named, **configured)
    for kind, text in (("INTERACTIONS", INTERACTIONS_SCHEMA), ("ITEMS", ITEMS_SCHEMA)):
        made = call(backend, "CreateSchema", name=kind, schema=text)["schemaArn"]
        into = call(backend, "CreateDataset", name=kind, schemaArn=made, datasetGroupArn=arn, datasetType=kind)
        source = {"dataLocation": f"file://{root}/data/{kind.lower()}.csv"}
        call(backend, "CreateDatasetImportJob", jobName=kind, **into, dataSource=source, roleArn=ROLE)
    run_jobs(backend)
    return backend


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{case[0]}-{case[2]}" for case in CASES])
def test_a_training_fails_exactly_where_something_is_missing(
    number: int, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, missing = CASES[number]
    extra = {"service_config": {"personalize": {"endpoint_url": f"local://{backend.root}"}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))
    solution = f"arn:aws:personalize:us-east-1:{ACCOUNT}:solution/solution-{number}"

    preflight = PersonalizePreflightOperator(task_id="preflight", solution_arn=solution)
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: None)}
    try:
        findings = preflight.execute(context)
    except PersonalizePermissionError as error:
        findings = error.findings
    assert [found["subject"] for found in findings if found["status"] == "missing"] == missing
    assert [found["subject"] for found in findings if found["status"] == "unknown"] == []

    version = call(backend, "CreateSolutionVersion", solutionArn=solution)["solutionVersionArn"]
    run_jobs(backend)
    trained = call(backend, "DescribeSolutionVersion", solutionVersionArn=version)["solutionVersion"]
    assert trained["status"] == ("CREATE FAILED" if missing else "ACTIVE"), trained.get("failureReason")
