"""What is an answer of the service's, and what becomes of everything else: one error, which passes by itself."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from airflow_provider_personalize.hooks.answers import require_answer
from airflow_provider_personalize.hooks.patience import passes
from airflow_provider_personalize.hooks.personalize import PersonalizeHook

from .conftest import connection

MODEL = botocore.session.get_session().get_service_model("personalize")
PAGE = b"<html>Sign in to the network</html>"
DESCRIBED = b'{"batchInferenceJob": {"status": "ACTIVE"}}'


def look_at(operation: str, status: int, body: bytes, **headers: str) -> None:
    answered = {"status_code": status, "headers": headers, "body": body}
    require_answer(MODEL.operation_model(operation), answered)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("CreateBatchInferenceJob", b'{"batchInferenceJobArn": "arn"}'),
        ("DescribeBatchInferenceJob", DESCRIBED),
        ("ListBatchInferenceJobs", b'{"batchInferenceJobs": []}'),
        ("ListBatchInferenceJobs", b'{"batchInferenceJobs": [], "nextToken": "more"}'),
        ("GetSolutionMetrics", b'{"metrics": {}}'),
        # Operations that answer nothing.
        ("DeleteFilter", b""),
        ("TagResource", b"{}"),
    ],
)
def test_an_answer_has_a_member_of_the_operations(operation: str, body: bytes) -> None:
    look_at(operation, 200, body)


NO_ANSWERS = {
    "nothing": b"",
    "a page": PAGE,
    "half a body": DESCRIBED[:20],
    "bytes": b"\xff\xfe\x00",
    "another server's JSON": b'{"healthy": true}',
    "an empty object": b"{}",
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "a member without content": b'{"batchInferenceJob": null}',
    "a member of another type": b'{"batchInferenceJob": "ACTIVE"}',
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_answer_passes_by_itself_and_says_what_came_instead(body: bytes) -> None:
    with pytest.raises(ResponseParserError, match="DescribeBatchInferenceJob") as caught:
        look_at("DescribeBatchInferenceJob", 200, body)
    assert repr(body) in str(caught.value)
    assert passes(caught.value)


def test_a_page_of_a_list_without_the_list_is_no_answer() -> None:
    with pytest.raises(ResponseParserError, match="has no batchInferenceJobs"):
        look_at("ListBatchInferenceJobs", 200, b'{"nextToken": "more"}')


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b'{"__type": "ResourceNotFoundException", "message": "no"}', {}),
        (403, b'{"message": "no"}', {"x-amzn-errortype": "AccessDeniedException"}),
        (429, PAGE, {}),
        (502, PAGE, {}),
        (503, b"", {}),
        (504, b'{"message": "no"}', {}),
    ],
)
def test_an_error_has_a_name_or_a_status_that_says_enough(status: int, body: bytes, headers: dict[str, str]) -> None:
    look_at("DescribeBatchInferenceJob", status, body, **headers)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (302, b""),
        (400, b'{"__type": "Resour'),
        (403, PAGE),
        (404, b'{"message": "default backend"}'),
        # botocore would stumble over these.
        (503, b"[]"),
        (503, b"null"),
        (503, b"\xff\xfe\x00"),
    ],
)
def test_an_error_of_nobodys_is_no_answer(status: int, body: bytes) -> None:
    with pytest.raises(ResponseParserError, match=f"with status {status}"):
        look_at("DescribeBatchInferenceJob", status, body)


# With the clients of the hook ----------------------------------------------------------------------------------------


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, bytes], None]]:
    """Say what a server answers that the connection ``served`` leads to."""
    said: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = said[-1]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    config = {"personalize": {"endpoint_url": f"http://127.0.0.1:{server.server_address[1]}"}}
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_SERVED", connection(**keys, service_config=config))
    yield lambda status, body: said.append((status, body))
    server.shutdown()
    server.server_close()


def described() -> Any:
    return PersonalizeHook("served").conn.describe_batch_inference_job(batchInferenceJobArn="arn:job")


def described_async() -> Any:
    async def describe() -> Any:
        async with await PersonalizeHook("served").get_async_conn() as client:
            return await client.describe_batch_inference_job(batchInferenceJobArn="arn:job")

    return asyncio.run(describe())


@pytest.mark.parametrize("describe", [described, described_async])
def test_both_clients_of_the_hook_tell_answers_from_what_is_none(
    describe: Callable[[], Any], answer: Callable[[int, bytes], None]
) -> None:
    answer(200, DESCRIBED)
    assert describe()["batchInferenceJob"] == json.loads(DESCRIBED)["batchInferenceJob"]
    answer(200, PAGE)
    with pytest.raises(ResponseParserError, match="DescribeBatchInferenceJob with status 200 is not JSON"):
        describe()
    answer(400, b'{"__type": "ResourceNotFoundException", "message": "no such job"}')
    with pytest.raises(ClientError, match="no such job"):
        describe()
