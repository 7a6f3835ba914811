"""Listings walked page by page: every entry once, in order, whatever the size of a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
from botocore import UNSIGNED, xform_name
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from urllib3 import HTTPResponse

from airflow_provider_personalize.local import wire
from airflow_provider_personalize.local.backend import Backend, open_backend
from airflow_provider_personalize.local.service import REFUSED
from airflow_provider_personalize.local.store import ACTIVE
from tests.backends import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, ROLE, Refused, batch_request, call


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return open_backend(tmp_path / "backend")


def pages(backend: Backend, operation: str, member: str, **request: Any) -> Iterator[list[dict[str, Any]]]:
    token: dict[str, str] = {}
    while True:
        page = call(backend, operation, **request, **token)
        yield page[member]
        if "nextToken" not in page:
            return
        token = {"nextToken": page["nextToken"]}


@pytest.mark.parametrize("size", [1, 5, 100])
@pytest.mark.parametrize("narrowed", [{}, {"domain": "ECOMMERCE"}])
def test_pages_of_recipes_hold_each_of_them_once(backend: Backend, size: int, narrowed: dict[str, str]) -> None:
    (whole,) = pages(backend, "ListRecipes", "recipes", **narrowed)
    assert len({recipe["recipeArn"] for recipe in whole}) == len(whole) > 4
    walked = list(pages(backend, "ListRecipes", "recipes", maxResults=size, **narrowed))
    assert [recipe for page in walked for recipe in page] == whole
    assert {len(page) for page in walked[:-1]} <= {size}
    assert 1 <= len(walked[-1]) <= size


@pytest.mark.parametrize("token", ["-1", "99999", "9" * 1500, "\u0663", "x"])
def test_a_page_of_recipes_begins_only_where_one_ended(backend: Backend, token: str) -> None:
    with pytest.raises(Refused) as refused:
        call(backend, "ListRecipes", nextToken=token)
    assert refused.value.code in ("InvalidNextTokenException", "InvalidInputException")


@pytest.mark.parametrize("place", ["9223372036854775808", "-1", "true", "1.5", '"1"', "null", "[]"])
def test_a_token_that_no_listing_gave_is_refused(backend: Backend, place: str) -> None:
    token = base64.urlsafe_b64encode(f'["schema",null,{place}]'.encode()).decode()
    with pytest.raises(Refused) as refused:
        call(backend, "ListSchemas", nextToken=token)
    assert refused.value.code == "InvalidNextTokenException"


@pytest.fixture
def twice(tmp_path: Path) -> Any:
    """A boto3 client of a backend that holds two of everything that is listed."""
    backend = open_backend(tmp_path / "twice")
    base = "arn:aws:personalize:us-east-1:000000000000:"
    source, output = {"dataLocation": "file:///none.csv"}, {"s3DataDestination": {"path": "file:///none/"}}
    for kind, text in (("Interactions", INTERACTIONS_SCHEMA), ("Items", ITEMS_SCHEMA)):
        call(backend, "CreateSchema", name=kind, schema=text)
    groups = [call(backend, "CreateDatasetGroup", name=name)["datasetGroupArn"] for name in ("a", "b")]
    for kind in ("Interactions", "Items"):
        schema_arn = f"{base}schema/{kind}"
        call(backend, "CreateDataset", name=kind, schemaArn=schema_arn, datasetGroupArn=groups[0], datasetType=kind)
    versions = []
    for recipe in ("user-personalization", "item-affinity"):
        arn = f"arn:aws:personalize:::recipe/aws-{recipe}"
        solution = call(backend, "CreateSolution", name=recipe, datasetGroupArn=groups[0], recipeArn=arn)
        versions.append(call(backend, "CreateSolutionVersion", **solution)["solutionVersionArn"])
        lease = backend.store.claim("test", lease_seconds=60)
        assert lease is not None
        assert backend.store.publish(lease, ACTIVE)
    for name, group in zip(("x", "y"), groups, strict=True):
        for version, kind in zip(versions, ("Inference", "Segment"), strict=True):
            call(backend, f"CreateBatch{kind}Job", **batch_request(version, name, "file:///in/", "file:///out/"))
        call(backend, "CreateCampaign", name=name, solutionVersionArn=versions[0])
        call(backend, "CreateEventTracker", name=name, datasetGroupArn=group)
        expression = f'INCLUDE ItemID WHERE Items.GENRES IN ("{name}")'
        call(backend, "CreateFilter", name=name, datasetGroupArn=groups[0], filterExpression=expression)
    for name in ("x", "y"):
        dataset = {"jobName": name, "datasetArn": f"{base}dataset/a/ITEMS", "roleArn": ROLE}
        call(backend, "CreateDatasetImportJob", **dataset, dataSource=source)
        call(backend, "CreateDatasetExportJob", **dataset, jobOutput=output)
    client = boto3.client("personalize", region_name="us-east-1", config=Config(signature_version=UNSIGNED))
    client.meta.events.register("before-send.personalize", lambda request, **_: reply_to(request, backend))
    return client


def reply_to(request: Any, backend: Backend) -> AWSResponse:
    """As the in-process transport answers, but that no runner is started: the jobs stay."""
    target = request.headers["X-Amz-Target"]
    reply = wire.handle(backend, target.decode(), request.body, region="us-east-1")
    return AWSResponse(
        request.url, reply.status, reply.headers, HTTPResponse(BytesIO(reply.body), preload_content=False)
    )


PAGINATORS = json.loads((Path(botocore.__file__).parent / "data/personalize/2018-05-22/paginators-1.json").read_text())[
    "pagination"
]


def test_botocores_paginators_walk_page_by_page(twice: Any) -> None:
    walked = set()
    for operation, paginator in PAGINATORS.items():
        if operation in REFUSED:
            continue
        method, member = xform_name(operation), paginator["result_key"]
        (whole,) = (page[member] for page in twice.get_paginator(method).paginate())
        assert len(whole) >= 2, operation
        pages = [page[member] for page in twice.get_paginator(method).paginate(PaginationConfig={"PageSize": 1})]
        assert [len(page) for page in pages] == [1] * len(whole), operation
        assert [entry for page in pages for entry in page] == whole, operation
        walked.add(operation)
    assert "ListFilters" in walked
    assert len(walked) >= 13


@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_of_data_deletion_jobs_hold_each_of_a_dataset_group_once(backend: Backend, size: int) -> None:
    groups = [call(backend, "CreateDatasetGroup", name=name)["datasetGroupArn"] for name in ("mine", "other")]
    for number in range(5):
        request = {"dataSource": {"dataLocation": "file:///users.csv"}, "roleArn": ROLE}
        group = groups[number == 2]  # the other group's stands among them
        call(backend, "CreateDataDeletionJob", jobName=f"j{number}", datasetGroupArn=group, **request)

    def names(**narrowed: str) -> list[list[str]]:
        walked = pages(backend, "ListDataDeletionJobs", "dataDeletionJobs", maxResults=size, **narrowed)
        return [[job["jobName"] for job in page] for page in walked]

    every, mine = ["j4", "j3", "j2", "j1", "j0"], ["j4", "j3", "j1", "j0"]
    assert names() == [every[start : start + size] for start in range(0, 5, size)]
    assert names(datasetGroupArn=groups[0]) == [mine[start : start + size] for start in range(0, 4, size)]
