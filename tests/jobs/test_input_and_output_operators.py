"""A job on the local backend with everything around it: its input checked, its output checked, and published."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_personalize.exceptions import PersonalizeBatchInputError, PersonalizeOutputError
from airflow_provider_personalize.operators.check_output import PersonalizeCheckBatchOutputOperator
from airflow_provider_personalize.operators.output_table import PersonalizeBatchOutputToTableOperator
from airflow_provider_personalize.operators.split_input import PersonalizeSplitBatchInputOperator
from airflow_provider_personalize.operators.validate_input import PersonalizeValidateBatchInputOperator
from tests.backends import batch_request, call, run_jobs
from tests.jobs.conftest import Jobs

Users = Callable[..., Path]


@pytest.fixture(autouse=True)
def connections(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"service_config": {"personalize": {"endpoint_url": f"local://{jobs.backend.root}"}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))
    warehouse = {"conn_type": "sqlite", "host": str(tmp_path / "warehouse.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(warehouse))


@pytest.fixture
def context() -> dict[str, Any]:
    instance = SimpleNamespace(
        dag_id="nightly", task_id="publish", run_id="r", map_index=-1, xcom_push=lambda key, value: None
    )
    return {"ti": instance}


def test_what_is_checked_before_and_after_a_job_agrees_with_what_it_does(
    jobs: Jobs, users: Users, tmp_path: Path, context: dict[str, Any]
) -> None:
    good = users("u1", "u2", "u3")
    check = PersonalizeValidateBatchInputOperator(
        task_id="check", input_uri=f"file://{good}", solution_version_arn=jobs.arns.personalization
    )
    assert check.execute(context)["rows"] == 3

    job = jobs.infer(f"file://{good}", f"file://{tmp_path}/out", numResults=2)
    summary = PersonalizeCheckBatchOutputOperator(
        task_id="check", job_arn=job["batchInferenceJobArn"], max_short_rows=0
    ).execute(context)
    assert (summary["answered"], summary["results"], summary["missing"]) == (3, 6, 0)

    published = PersonalizeBatchOutputToTableOperator(
        task_id="publish", job_arn=job["batchInferenceJobArn"], sql_conn_id="warehouse", table="recommendations"
    ).execute(context)
    assert published["table_rows"] == 6
    with sqlite3.connect(tmp_path / "warehouse.sqlite") as connection:
        found = connection.execute("SELECT user_id, count(*), max(rank) FROM recommendations GROUP BY 1").fetchall()
    assert found == [("u1", 2, 2), ("u2", 2, 2), ("u3", 2, 2)]


def test_rows_that_validation_finds_bad_are_those_that_the_job_fails(
    jobs: Jobs, users: Users, tmp_path: Path, context: dict[str, Any]
) -> None:
    path = users(lines=b'{"userId": "u1"}\n\n{"userId": 17}\nnonsense\n{"itemId": "i1"}\n')
    with pytest.raises(PersonalizeBatchInputError) as before:
        PersonalizeValidateBatchInputOperator(
            task_id="check", input_uri=f"file://{path}", solution_version_arn=jobs.arns.personalization
        ).execute(context)
    job = jobs.infer(f"file://{path}", f"file://{tmp_path}/out")
    with pytest.raises(PersonalizeOutputError) as after:
        PersonalizeCheckBatchOutputOperator(task_id="check", job_arn=job["batchInferenceJobArn"]).execute(context)
    summary = after.value.summary
    assert summary["failed"] == before.value.report["bad_rows"] == 3
    assert (summary["missing"], summary["unexpected"]) == (0, 0), "broken lines are matched by their echo"
    reasons = {finding["what"] for finding in summary["failures"]}
    assert reasons == {finding["what"] for finding in before.value.report["findings"]}


def test_segments_become_rows_of_users_in_parquet(
    jobs: Jobs, users: Users, tmp_path: Path, context: dict[str, Any]
) -> None:
    from pyarrow import parquet

    path = users(lines=b'{"itemId": "i0"}\n{"itemId": "i1"}\n', name="items.json")
    request = batch_request(
        jobs.arns.segmentation, "published", f"file://{path}", f"file://{tmp_path}/out", numResults=5
    )
    arn = call(jobs.backend, "CreateBatchSegmentJob", **request)["batchSegmentJobArn"]
    run_jobs(jobs.backend)
    assert PersonalizeCheckBatchOutputOperator(task_id="check", job_arn=arn).execute(context)["answered"] == 2
    PersonalizeBatchOutputToTableOperator(
        task_id="publish", job_arn=arn, parquet_uri=f"file://{tmp_path}/tables/segments.parquet"
    ).execute(context)
    table = parquet.read_table(tmp_path / "tables/segments.parquet")
    assert table.column_names == ["run_key", "item_id", "rank", "user_id"]
    assert table.column("rank").to_pylist() == [1, 2, 3, 4, 5] * 2


def test_an_input_beyond_the_quota_is_answered_in_parts(
    jobs: Jobs, users: Users, tmp_path: Path, context: dict[str, Any]
) -> None:
    def segment(source: str, name: str) -> str:
        request = batch_request(jobs.arns.segmentation, name, source, f"file://{tmp_path}/{name}", numResults=1)
        arn = str(call(jobs.backend, "CreateBatchSegmentJob", **request)["batchSegmentJobArn"])
        run_jobs(jobs.backend)
        return arn

    path = users(lines=b"".join(b'{"itemId": "i%d"}\n' % (number % 7) for number in range(501)), name="items.json")
    whole = call(jobs.backend, "DescribeBatchSegmentJob", batchSegmentJobArn=segment(f"file://{path}", "whole"))
    assert "quota" in whole["batchSegmentJob"]["failureReason"]

    parts = PersonalizeSplitBatchInputOperator(
        task_id="split",
        input_uri=f"file://{path}",
        parts_uri=f"file://{tmp_path}/parts",
        solution_version_arn=jobs.arns.segmentation,
    ).execute(context)
    answered = [
        PersonalizeCheckBatchOutputOperator(task_id="check", job_arn=segment(part, f"part-{number}")).execute(context)
        for number, part in enumerate(parts)
    ]
    assert [summary["answered"] for summary in answered] == [500, 1]
