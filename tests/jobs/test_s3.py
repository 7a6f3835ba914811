"""Objects in and out of a real S3 over HTTP (moto's server), with the keys a runner gets from its environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.backends import INTERACTIONS_SCHEMA, ROLE, call, run_jobs, write_data
from tests.jobs.conftest import Jobs


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the S3, which the environment names from here on; the buckets ``in`` and ``out`` are empty."""
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**keys, "AWS_ENDPOINT_URL_S3": s3_url}.items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client("s3")
    for bucket in ("rows-in", "rows-out"):
        client.create_bucket(Bucket=bucket)
        for entry in client.list_objects_v2(Bucket=bucket).get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=entry["Key"])
    return client


def put_rows(s3: Any, key: str, *users: str) -> None:
    s3.put_object(Bucket="rows-in", Key=key, Body="\n".join(json.dumps({"userId": user}) for user in users))


def keys(s3: Any, bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_every_matching_object_gets_its_output_and_the_folder_its_mark(jobs: Jobs, s3: Any) -> None:
    put_rows(s3, "day/a.json", "u1", "u2")
    put_rows(s3, "day/deep/b", "u3")
    put_rows(s3, "night/c.json", "u4")
    job = jobs.infer("s3://rows-in/day/", "s3://rows-out/run")
    assert job["status"] == "ACTIVE", job
    assert keys(s3, "rows-out") == ["run/_CHECK", "run/a.json.out", "run/deep/b.out"]
    body = s3.get_object(Bucket="rows-out", Key="run/a.json.out")["Body"].read()
    assert [json.loads(line)["input"] for line in body.splitlines()] == [{"userId": "u1"}, {"userId": "u2"}]
    assert list((jobs.backend.root / "scratch").rglob("*.partial")) == []


def test_input_on_disk_and_output_in_s3_may_be_mixed(jobs: Jobs, s3: Any, tmp_path: Any) -> None:
    source = tmp_path / "users.json"
    source.write_text('{"userId": "u1"}\n')
    assert jobs.infer(f"file://{source}", "s3://rows-out/")["status"] == "ACTIVE"
    assert keys(s3, "rows-out") == ["_CHECK", "users.json.out"]


@pytest.mark.parametrize(
    ("source", "destination", "said"),
    [
        ("s3://no-such-bucket/a.json", "s3://rows-out/", "no-such-bucket"),
        ("s3://rows-in/none", "s3://rows-out/", "Invalid S3 input path: s3://rows-in/none matches no object."),
        ("s3://rows-in/a.json", "s3://no-such-bucket/out/", "no-such-bucket"),
    ],
    ids=["no input bucket", "no input object", "no output bucket"],
)
def test_an_s3_that_cannot_serve_fails_the_job_with_the_place(
    jobs: Jobs, s3: Any, source: str, destination: str, said: str
) -> None:
    put_rows(s3, "a.json", "u1")
    job = jobs.infer(source, destination)
    assert job["status"] == "CREATE FAILED"
    assert said in job["failureReason"]


def test_data_is_imported_from_s3_and_exported_to_it(jobs: Jobs, s3: Any, tmp_path: Any) -> None:
    write_data(tmp_path)
    s3.upload_file(str(tmp_path / "interactions.csv"), "rows-in", "data/interactions.csv")
    group = call(jobs.backend, "CreateDatasetGroup", name="in-s3")["datasetGroupArn"]
    schema = call(jobs.backend, "CreateSchema", name="in-s3", schema=INTERACTIONS_SCHEMA)["schemaArn"]
    dataset = call(
        jobs.backend, "CreateDataset", name="d", schemaArn=schema, datasetGroupArn=group, datasetType="Interactions"
    )["datasetArn"]
    source = {"dataLocation": "s3://rows-in/data/"}
    job = call(
        jobs.backend, "CreateDatasetImportJob", jobName="in-s3", datasetArn=dataset, dataSource=source, roleArn=ROLE
    )
    run_jobs(jobs.backend)
    described = call(jobs.backend, "DescribeDatasetImportJob", **job)["datasetImportJob"]
    assert described["status"] == "ACTIVE", described
    export = {"jobOutput": {"s3DataDestination": {"path": "s3://rows-out/deep/export/"}}, "ingestionMode": "BULK"}
    call(jobs.backend, "CreateDatasetExportJob", jobName="to-s3", datasetArn=dataset, roleArn=ROLE, **export)
    run_jobs(jobs.backend)
    assert keys(s3, "rows-out") == ["deep/export/to-s3.csv"]
    assert list((jobs.backend.root / "scratch").rglob("*")) == []
