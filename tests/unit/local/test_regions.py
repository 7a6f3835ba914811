"""A region knows nothing of what another one holds."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from airflow_provider_personalize.local import wire
from airflow_provider_personalize.local.backend import Backend
from tests.backends import ITEMS_SCHEMA, call

RECIPE = "arn:aws:personalize:::recipe/aws-sims"


def elsewhere(backend: Backend, operation: str, **parameters: Any) -> tuple[int, dict[str, Any]]:
    target = f"AmazonPersonalize.{operation}"
    answer = wire.handle(backend, target, orjson.dumps(parameters), region="eu-west-1")
    return answer.status, orjson.loads(answer.body)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("DescribeDatasetGroup", {}),
        ("DeleteDatasetGroup", {}),
        ("CreateSolution", {"name": "s", "recipeArn": RECIPE}),
        ("CreateEventTracker", {"name": "t"}),
    ],
)
def test_what_lies_in_another_region_is_not_found(
    backend: Backend, group: str, operation: str, parameters: dict[str, Any]
) -> None:
    status, answer = elsewhere(backend, operation, datasetGroupArn=group, **parameters)
    assert (status, answer["__type"]) == (400, "ResourceNotFoundException")


def test_tags_of_another_region_are_not_found(backend: Backend, group: str) -> None:
    tags = [{"tagKey": "a", "tagValue": "b"}]
    requests: dict[str, dict[str, Any]] = {
        "ListTagsForResource": {},
        "TagResource": {"tags": tags},
        "UntagResource": {"tagKeys": ["a"]},
    }
    for operation, parameters in requests.items():
        status, answer = elsewhere(backend, operation, resourceArn=group, **parameters)
        assert (status, answer["__type"]) == (400, "ResourceNotFoundException")
    assert call(backend, "ListTagsForResource", resourceArn=group) == {"tags": []}


def test_a_name_is_free_in_another_region(backend: Backend, group: str) -> None:
    status, answer = elsewhere(backend, "CreateDatasetGroup", name="g")
    assert (status, answer["datasetGroupArn"]) == (200, group.replace("us-east-1", "eu-west-1"))
    given = elsewhere(backend, "CreateSchema", name="items", schema=ITEMS_SCHEMA)[1]
    dataset = {**answer, **given, "name": "i", "datasetType": "Items"}
    assert elsewhere(backend, "CreateDataset", **dataset)[0] == 200
    assert elsewhere(backend, "DescribeRecipe", recipeArn=RECIPE)[0] == 200
