"""Listings walked page by page: every entry once, in order, whatever the size of a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local.backend import Backend, open_backend
from tests.backends import ROLE, Refused, call


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


def test_a_page_of_recipes_begins_only_where_one_ended(backend: Backend) -> None:
    with pytest.raises(Refused) as refused:
        call(backend, "ListRecipes", nextToken="-1")
    assert refused.value.code == "InvalidNextTokenException"


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
