"""Links lead into the console when the job is on AWS, and are absent when there is nothing to link to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.stub import Stubber

from airflow_provider_personalize.links.personalize import (
    PersonalizeConsoleLink,
    PersonalizeInputLink,
    PersonalizeOutputLink,
    s3_folder,
)

from .conftest import Log
from .service import ACCOUNT, Service
from .test_adoption import inference, train

Context = Callable[..., dict[str, Any]]
PLACE = {"region_name": "eu-west-1", "aws_domain": "aws.amazon.com"}


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("s3://bucket/in/users.json", {"bucket": "bucket", "prefix": "in/"}),
        ("s3://bucket/out/", {"bucket": "bucket", "prefix": "out/"}),
        ("s3://bucket/users.json", {"bucket": "bucket", "prefix": ""}),
        ("s3://bucket", {"bucket": "bucket", "prefix": ""}),
        ("s3://bucket/a#b?c/users.json", {"bucket": "bucket", "prefix": "a#b?c/"}),
        ("file:///data/out/", None),
        ("", None),
    ],
)
def test_a_location_has_a_folder_when_it_is_in_s3(uri: str, folder: dict[str, str] | None) -> None:
    assert s3_folder(uri) == folder


def test_the_addresses() -> None:
    assert PersonalizeConsoleLink().format_link(**PLACE) == (
        "https://console.aws.amazon.com/personalize/home?region=eu-west-1#datasetGroups"
    )
    assert PersonalizeOutputLink().format_link(**PLACE, bucket="b", prefix="a b/c#d/") == (
        "https://console.aws.amazon.com/s3/buckets/b?region=eu-west-1&prefix=a%20b/c%23d/"
    )


def linked(operator: Any, here: dict[str, Any]) -> set[str]:
    arn = f"{ACCOUNT}:batch-inference-job/job"
    client = operator.hook.conn
    operator.hook.get_client_type = lambda **_: client
    with Stubber(client) as stubber:
        stubber.add_response(operator.resource.create_operation, {operator.resource.arn_member: arn})
        operator.execute(here)
    return {key for key, value in here["ti"].xcoms.items() if value}


def test_a_job_on_aws_has_its_links_and_logs_their_addresses(
    context: Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = context()
    operator = inference(aws_conn_id="aws")
    said: list[str] = []
    monkeypatch.setattr(type(operator), "log", Log(said))
    assert linked(operator, here) == {PersonalizeConsoleLink.key, PersonalizeInputLink.key, PersonalizeOutputLink.key}
    assert here["ti"].xcoms[PersonalizeOutputLink.key] == {
        "region_name": "us-east-1",
        "aws_domain": "aws.amazon.com",
        "bucket": "out",
        "prefix": "",
    }
    assert any("https://console.aws.amazon.com/s3/buckets/out?region=us-east-1&prefix=" in line for line in said)


def test_a_training_has_no_files_to_link_to(context: Context) -> None:
    assert linked(train(aws_conn_id="aws"), context()) == {PersonalizeConsoleLink.key}


def test_a_local_job_has_no_links(service: Service, context: Context) -> None:
    here = context()
    inference(input_uri="file:///data/users.json", output_uri="file:///data/out/").execute(here)
    links = (PersonalizeConsoleLink, PersonalizeInputLink, PersonalizeOutputLink)
    # Empty rather than absent: for an absent one Airflow logs an error.
    assert here["ti"].xcoms == {link.key: {} for link in links}


def test_without_xcoms_nothing_is_pushed(service: Service, context: Context) -> None:
    here = context()
    inference(do_xcom_push=False).execute(here)
    assert here["ti"].xcoms == {}


def test_a_job_on_another_server_has_no_links(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE", "http://127.0.0.1:8765")
    assert linked(inference(aws_conn_id="aws"), context()) == set()


def test_an_adopted_job_has_its_links_too(context: Context) -> None:
    here = context()
    linked(inference(aws_conn_id="aws"), here)
    again, operator = context(), inference(aws_conn_id="aws")
    arn = f"{ACCOUNT}:batch-inference-job/job"
    with Stubber(operator.hook.conn) as stubber:
        stubber.add_response(
            "describe_batch_inference_job", {"batchInferenceJob": {"batchInferenceJobArn": arn, "status": "ACTIVE"}}
        )
        assert operator.execute(again) == arn
    assert again["ti"].xcoms == here["ti"].xcoms
