"""The service's quotas: its own numbers by default, refused by LimitExceededException, raised by settings.toml."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local.backend import Backend, Settings, open_backend
from tests.backends import INTERACTIONS_SCHEMA, ROLE, Refused, call, schema

RECIPE = "arn:aws:personalize:::recipe/aws-user-personalization"


def refused(backend: Backend, operation: str, **parameters: Any) -> str:
    with pytest.raises(Refused) as raised:
        call(backend, operation, **parameters)
    assert raised.value.code == "LimitExceededException"
    return raised.value.message


def test_the_defaults_are_the_services_numbers() -> None:
    numbers = Settings()
    assert (numbers.schemas, numbers.dataset_groups) == (500, 5)
    assert (numbers.solutions_per_dataset_group, numbers.campaigns_per_dataset_group) == (10, 5)
    assert (numbers.filters_per_dataset_group, numbers.fields_filtered_per_dataset_group) == (30, 20)
    assert (numbers.batch_input_files, numbers.batch_input_bytes) == (1000, 1_000_000_000)
    assert (numbers.batch_inference_rows, numbers.batch_theme_rows) == (50_000_000, 100)
    assert (numbers.item_affinity_rows, numbers.item_attribute_affinity_rows) == (500, 10)


def test_a_sixth_dataset_group_needs_a_deleted_one_or_a_setting(tmp_path: Path) -> None:
    backend = open_backend(tmp_path / "default")
    groups = [call(backend, "CreateDatasetGroup", name=f"g{number}")["datasetGroupArn"] for number in range(5)]
    message = refused(backend, "CreateDatasetGroup", name="g5")
    assert "dataset-group" in message
    assert "settings.toml" in message
    call(backend, "DeleteDatasetGroup", datasetGroupArn=groups[2])
    call(backend, "CreateDatasetGroup", name="g5")

    (tmp_path / "raised").mkdir()
    (tmp_path / "raised" / "settings.toml").write_text("dataset_groups = 6\n")
    backend = open_backend(tmp_path / "raised")
    for number in range(6):
        call(backend, "CreateDatasetGroup", name=f"g{number}")


def test_schemas_have_a_quota(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("schemas = 2\n")
    backend = open_backend(tmp_path)
    for number in range(2):
        call(backend, "CreateSchema", name=f"s{number}", schema=INTERACTIONS_SCHEMA)
    refused(backend, "CreateSchema", name="s2", schema=INTERACTIONS_SCHEMA)


def test_a_dataset_group_has_ten_solutions_and_another_group_its_own_ten(backend: Backend, group: str) -> None:
    for number in range(10):
        call(backend, "CreateSolution", name=f"s{number}", datasetGroupArn=group, recipeArn=RECIPE)
    assert group in refused(backend, "CreateSolution", name="s10", datasetGroupArn=group, recipeArn=RECIPE)
    other = call(backend, "CreateDatasetGroup", name="other")["datasetGroupArn"]
    call(backend, "CreateSolution", name="s10", datasetGroupArn=other, recipeArn=RECIPE)


def test_a_dataset_group_has_thirty_filters(backend: Backend, group: str) -> None:
    expression = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'
    for number in range(30):
        call(backend, "CreateFilter", name=f"f{number}", datasetGroupArn=group, filterExpression=expression)
    refused(backend, "CreateFilter", name="f30", datasetGroupArn=group, filterExpression=expression)


def test_the_filters_of_a_dataset_group_have_twenty_fields_together(backend: Backend, group: str) -> None:
    columns: dict[str, Any] = {f"C{number}": {"type": "string", "categorical": True} for number in range(21)}
    wide = call(backend, "CreateSchema", name="wide", schema=schema("Items", ITEM_ID="string", **columns))
    call(backend, "CreateDataset", name="items", **wide, datasetGroupArn=group, datasetType="Items")

    def expression(*numbers: int) -> str:
        return "INCLUDE ItemID WHERE " + " AND ".join(f'Items.C{number} IN ("a")' for number in numbers)

    for name, numbers in (("a", range(10)), ("b", range(10, 20)), ("again", range(5))):
        call(backend, "CreateFilter", name=name, datasetGroupArn=group, filterExpression=expression(*numbers))
    message = refused(backend, "CreateFilter", name="c", datasetGroupArn=group, filterExpression=expression(20))
    assert "20 distinct fields" in message


def test_filters_created_at_one_moment_have_twenty_fields_together(backend: Backend, group: str) -> None:
    columns: dict[str, Any] = {f"C{number}": {"type": "string", "categorical": True} for number in range(30)}
    wide = call(backend, "CreateSchema", name="wide", schema=schema("Items", ITEM_ID="string", **columns))
    call(backend, "CreateDataset", name="items", **wide, datasetGroupArn=group, datasetType="Items")
    start = threading.Barrier(6)

    def create(number: int) -> str:
        own = range(5 * number, 5 * number + 5)
        expression = "INCLUDE ItemID WHERE " + " AND ".join(f'Items.C{column} IN ("a")' for column in own)
        start.wait()
        try:
            call(backend, "CreateFilter", name=f"f{number}", datasetGroupArn=group, filterExpression=expression)
        except Refused as refusal:
            return refusal.code
        return "created"

    with ThreadPoolExecutor(6) as threads:
        assert Counter(threads.map(create, range(6))) == {"created": 4, "LimitExceededException": 2}
    assert len(call(backend, "ListFilters", datasetGroupArn=group)["Filters"]) == 4


def test_five_jobs_of_a_kind_may_wait(backend: Backend, group: str) -> None:
    dataset = group.replace(":dataset-group/g", ":dataset/g/INTERACTIONS")
    for kind, request in (
        ("DatasetImportJob", {"datasetArn": dataset, "dataSource": {"dataLocation": "file:///none.csv"}}),
        (
            "DatasetExportJob",
            {
                "datasetArn": dataset,
                "roleArn": ROLE,
                "jobOutput": {"s3DataDestination": {"path": "file:///none/"}},
            },
        ),
        (
            "DataDeletionJob",
            {"datasetGroupArn": group, "roleArn": ROLE, "dataSource": {"dataLocation": "file:///none.csv"}},
        ),
    ):
        for number in range(5):
            call(backend, f"Create{kind}", jobName=f"j{number}", **request)
        message = refused(backend, f"Create{kind}", jobName="j5", **request)
        assert message == "More than 5 resources with PENDING or IN_PROGRESS status."
