"""Sensors of many jobs on the local backend, whose List and Describe operations are those of the service's model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.exceptions import PersonalizeAwaitedJobsFailedError
from airflow_provider_personalize.sensors.batch_jobs import (
    PersonalizeBatchInferenceJobsSensor,
    PersonalizeBatchSegmentJobsSensor,
)
from tests.backends import batch_request, call, run_jobs
from tests.jobs.conftest import Jobs


@pytest.fixture(autouse=True)
def connection(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"service_config": {"personalize": {"endpoint_url": f"local://{jobs.backend.root}"}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))


def test_inference_jobs_that_are_active_and_one_that_failed(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text('{"userId": "u1"}\n')
    good = [
        jobs.infer(f"file://{tmp_path}/users.json", f"file://{tmp_path}/out-{number}/")["batchInferenceJobArn"]
        for number in range(2)
    ]

    def wait(*arns: str) -> list[str]:
        context: Any = {}
        return PersonalizeBatchInferenceJobsSensor(task_id="wait", job_arns=arns).execute(context)

    assert wait(*good) == good
    bad = jobs.infer(f"file://{tmp_path}/nothing.json", f"file://{tmp_path}/out/")
    with pytest.raises(PersonalizeAwaitedJobsFailedError) as caught:
        wait(*good, bad["batchInferenceJobArn"])
    assert caught.value.failure_reason == bad["failureReason"]
    assert f"{bad['batchInferenceJobArn']} ended in CREATE FAILED: {bad['failureReason']}" in str(caught.value)


def test_segment_jobs(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text('{"itemId": "i1"}\n')
    source, arns = f"file://{tmp_path}/items.json", []
    for number in range(2):
        request = batch_request(jobs.arns.segmentation, f"many-{number}", source, f"file://{tmp_path}/out-{number}/")
        arns.append(call(jobs.backend, "CreateBatchSegmentJob", **request)["batchSegmentJobArn"])
    run_jobs(jobs.backend)
    context: Any = {}
    assert PersonalizeBatchSegmentJobsSensor(task_id="wait", job_arns=json.dumps(arns)).execute(context) == arns
