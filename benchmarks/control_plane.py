"""What a call costs where there are many jobs, and what it costs over HTTP beside moto.

The claims, with 100,000 jobs in the store: a call in-process takes less than a millisecond; ``personalize-local serve``
describes a job at least three times as often in a second as moto's server describes a schema (it has no jobs); a page
of a listing costs the same at its end as at its beginning, and as with a hundredth of the jobs. Servers are asked in
turn by the same clients, which keep their connections; in-process calls are boto3's, whole, and stand beside the same
calls where the answer is at hand, too: that is what boto3 itself takes on this machine.

    python benchmarks/control_plane.py
    python benchmarks/control_plane.py --store postgresql+psycopg://user:password@host/database    # an empty one
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import sqlalchemy as sa
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from report import Figure, interleaved, report

from airflow_provider_personalize.local import wire
from airflow_provider_personalize.local.backend import STORE_VARIABLE, open_backend
from airflow_provider_personalize.local.store import ACTIVE, Store, jobs, resources
from airflow_provider_personalize.local.transports import in_process

REGION, KIND = "us-east-1", "batch-inference-job"
ARN = f"arn:aws:personalize:{REGION}:000000000000"
VERSION = f"{ARN}:solution/films/abcdef"
FIELDS = [{"name": "USER_ID", "type": "string"}, {"name": "ITEM_ID", "type": "string"}]
SCHEMA = json.dumps(
    {"type": "record", "name": "Interactions", "fields": [*FIELDS, {"name": "TIMESTAMP", "type": "long"}]}
)
OURS, MOTO = 18765, 18766
CALLS = 50  # of one kind in a row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--clients", type=int, default=4, help="of a server at a time")
    parser.add_argument("--store", help="URL of an empty store; SQLite where none is given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        many.mkdir()
        (many / "settings.toml").write_text("schemas = 10_000\n")  # which is what is created
        _fill(open_backend(few).store, arguments.jobs // 100)
        _fill(open_backend(many, arguments.store).store, arguments.jobs)
        figures = []
        if arguments.store is None:
            figures += _in_process(few, many, arguments)
        figures += _over_http(many, arguments)
    key = "control plane" if arguments.store is None else "control plane on PostgreSQL"
    return report(key, figures, "beside")


def _fill(store: Store, count: int) -> None:
    for start in range(0, count, 5000):
        arns = [f"{ARN}:{KIND}/job-{number:06}" for number in range(start, min(start + 5000, count))]
        common = {"kind": KIND, "parent": VERSION, "status": ACTIVE, "created": 1.7e9, "updated": 1.7e9}
        with store._write() as connection:
            connection.execute(sa.insert(resources), [common | {"arn": a, "document": _document(a)} for a in arns])
            connection.execute(sa.insert(jobs), [{"arn": arn, "kind": KIND, "finished": True} for arn in arns])


def _document(arn: str) -> str:
    request = {
        "jobName": arn.partition("/")[2],
        "solutionVersionArn": VERSION,
        "numResults": 25,
        "roleArn": "arn:aws:iam::123456789012:role/PersonalizeRole",
        "jobInput": {"s3DataSource": {"path": "s3://bucket/in.json"}},
        "jobOutput": {"s3DataDestination": {"path": "s3://bucket/out/"}},
    }
    return json.dumps(request | {"batchInferenceJobArn": arn})


def _in_process(few: Path, many: Path, arguments: argparse.Namespace) -> list[Figure]:
    client, beside, alone = _client(many), _client(few), _client_alone(many)
    middle = f"{ARN}:{KIND}/job-{arguments.jobs // 2:06}"
    last, created = _last_page(client), iter(range(1_000_000))

    def in_a_row(call: Callable[[], object]) -> Callable[[], object]:
        return lambda: [call() for _ in range(CALLS)]

    calls: dict[str, Callable[[Any], object]] = {
        "describe": lambda by: by.describe_batch_inference_job(batchInferenceJobArn=middle),
        "create": lambda by: by.create_schema(name=f"schema-{next(created)}", schema=SCHEMA),
        "newest ten": lambda by: by.list_batch_inference_jobs(maxResults=10),
    }
    seconds = interleaved(
        {
            **{name: in_a_row(partial(call, client)) for name, call in calls.items()},
            **{f"{name} alone": in_a_row(partial(call, alone)) for name, call in calls.items()},
            "first page": in_a_row(client.list_batch_inference_jobs),
            "last page": in_a_row(lambda: client.list_batch_inference_jobs(nextToken=last)),
            "page of few": in_a_row(beside.list_batch_inference_jobs),
        },
        arguments.times,
    )
    took = {name: value / CALLS * 1000 for name, value in seconds.items()}
    return [
        *(Figure(f"in-process, {name}, beside a millisecond", took[name], 1.0, "ms", at_most=1) for name in calls),
        *(Figure(f"in-process, {name}, beside boto3 alone", took[name], took[f"{name} alone"], "ms") for name in calls),
        Figure("page of 100, of many jobs beside few", took["first page"], took["page of few"], "ms", at_most=1.2),
        Figure("page of 100, last beside first", took["last page"], took["first page"], "ms", at_most=1.2),
    ]


def _client(root: Path) -> Any:
    session = boto3.session.Session()
    in_process.register(session._session, root=str(root), environment={})
    return _personalize(session)


def _client_alone(root: Path) -> Any:
    """A client that the backend answers once an operation; later answers are the same again."""
    session = boto3.session.Session()
    answers: dict[str, wire.Answer] = {}

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"]
        if operation not in answers:
            answers[operation] = in_process.reply_to(request, root=str(root), environment={}, region=REGION)
        reply = answers[operation]
        return AWSResponse(request.url, reply.status, reply.headers, in_process._Body(reply.body))

    session.events.register("before-send.personalize", answer)
    return _personalize(session)


def _personalize(session: boto3.session.Session) -> Any:
    config = Config(signature_version=UNSIGNED)
    return session.client("personalize", region_name=REGION, endpoint_url="http://local.invalid", config=config)


def _last_page(client: Any) -> str:
    token = ""
    for page in client.get_paginator("list_batch_inference_jobs").paginate():
        token = page.get("nextToken", token)
    return token


def _over_http(root: Path, arguments: argparse.Namespace) -> list[Figure]:
    serve = ["personalize-local", "serve", "--root", str(root), "--port", str(OURS)]
    with ExitStack() as servers:
        servers.enter_context(_server(serve, OURS, {STORE_VARIABLE: arguments.store} if arguments.store else {}))
        servers.enter_context(_server(["moto_server", "-p", str(MOTO)], MOTO, {}))
        schema = _ask(http.client.HTTPConnection("127.0.0.1", MOTO), "CreateSchema", {"name": "s", "schema": SCHEMA})
        job = {"batchInferenceJobArn": f"{ARN}:{KIND}/job-{arguments.jobs // 2:06}"}
        figures = []
        for clients in (1, arguments.clients):
            rates: dict[str, list[float]] = {"ours": [], "moto": []}
            for _ in range(arguments.times):
                rates["ours"].append(_rate(OURS, "DescribeBatchInferenceJob", job, clients))
                rates["moto"].append(_rate(MOTO, "DescribeSchema", schema, clients))
            ours, moto = (statistics.median(measured) for measured in rates.values())
            # One client spends more of a call's time than the server: its rate says more of Python's http.client.
            claim = 3 if clients > 1 else None
            name = f"described over HTTP, {clients} client{'s'[: clients > 1]}, beside moto"
            figures.append(Figure(name, ours, moto, "/s", at_least=claim))
    return figures


@contextmanager
def _server(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[None]:
    path = Path(sys.executable).parent / command[0]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([str(path), *command[1:]], env=os.environ | environment, **quiet)
    try:
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", port).connect()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, f"{command[0]} did not start"
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def _rate(port: int, operation: str, request: dict[str, Any], clients: int, seconds: float = 1.0) -> float:
    """Calls in a second of so many clients at a time."""
    end = time.perf_counter() + seconds

    def calls(_: int) -> int:
        connection, count = http.client.HTTPConnection("127.0.0.1", port), 0
        while time.perf_counter() < end:
            _ask(connection, operation, request)
            count += 1
        return count

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(calls, range(clients))) / seconds


def _ask(connection: http.client.HTTPConnection, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    credential = f"Credential=AKIDEXAMPLE/20260101/{REGION}/personalize/aws4_request"
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"AmazonPersonalize.{operation}",
        "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0",
    }
    connection.request("POST", "/", json.dumps(request), headers)
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    assert response.status == 200, answer
    return answer


if __name__ == "__main__":
    sys.exit(main())
