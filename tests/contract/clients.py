"""Five ways to call one backend: boto3 and aiobotocore in-process and over HTTP, and the AWS CLI over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiobotocore.session
import boto3
import botocore.session
from botocore import UNSIGNED, xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_provider_personalize.local.transports import in_process, in_process_async
from airflow_provider_personalize.service_model import ENDPOINTS, service_model
from tests.backends import Refused

REGION = "us-east-1"
TRANSPORTS = (
    "boto3 in-process",
    "aiobotocore in-process",
    "boto3 over HTTP",
    "aiobotocore over HTTP",
    "AWS CLI over HTTP",
)


Caller = Callable[..., dict[str, Any]]


@functools.cache
def endpoint_of(operation: str) -> str:
    """The endpoint whose model has the operation: ``personalize-events`` for PutEvents."""
    return next(endpoint for endpoint in ENDPOINTS if operation in service_model(endpoint).operation_names)


def _arguments(**more: Any) -> dict[str, Any]:
    # The client's own checks are off: what reaches the backend is what the test wrote.
    config = Config(signature_version=UNSIGNED, parameter_validation=False, retries={"total_max_attempts": 1})
    return {"region_name": REGION, "config": config, **more}


def _boto3_caller(make_client: Callable[[str], Any]) -> Caller:
    client = functools.cache(make_client)

    def call(operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            response = getattr(client(endpoint_of(operation)), xform_name(operation))(**parameters)
        except ClientError as error:
            raise Refused(error.response["Error"]["Code"], error.response["Error"]["Message"]) from None
        response.pop("ResponseMetadata")
        return response

    return call


def _aiobotocore_caller(make_client: Callable[[str], Any], stack: contextlib.ExitStack) -> Caller:
    # One event loop and one client an endpoint for all calls, as a triggerer has.
    loop = stack.enter_context(asyncio.Runner())
    clients = contextlib.AsyncExitStack()
    stack.callback(lambda: loop.run(clients.aclose()))
    known: dict[str, Any] = {}

    async def answer(operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        endpoint = endpoint_of(operation)
        if endpoint not in known:
            known[endpoint] = await clients.enter_async_context(make_client(endpoint))
        return await getattr(known[endpoint], xform_name(operation))(**parameters)

    def call(operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            response = loop.run(answer(operation, parameters))
        except ClientError as error:
            raise Refused(error.response["Error"]["Code"], error.response["Error"]["Message"]) from None
        response.pop("ResponseMetadata")
        return response

    return call


def _cli_caller(url: str) -> Caller:
    from awscli.clidriver import create_clidriver

    driver = create_clidriver()

    def call(operation: str, **parameters: Any) -> dict[str, Any]:
        out, err = io.StringIO(), io.StringIO()
        arguments = [endpoint_of(operation), xform_name(operation, "-"), "--endpoint-url", url, "--region", REGION]
        arguments += [
            "--no-sign-request",
            "--no-paginate",
            "--output",
            "json",
            "--cli-input-json",
            json.dumps(parameters),
        ]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = driver.main(arguments)
        if code:
            found = re.search(r"An error occurred \((\w+)\)[^:]*: (.*)", err.getvalue(), re.DOTALL)
            raise Refused(found[1], found[2].strip()) if found else AssertionError(err.getvalue())
        return json.loads(out.getvalue() or "{}")

    return call


@contextlib.contextmanager
def caller(transport: str, root: Path, url: str) -> Iterator[Caller]:
    """A function ``call(operation, **parameters)`` over one of :data:`TRANSPORTS`."""
    with contextlib.ExitStack() as stack:
        yield _caller(transport, root, url, stack)


def _caller(transport: str, root: Path, url: str, stack: contextlib.ExitStack) -> Caller:
    if transport == "AWS CLI over HTTP":
        return _cli_caller(url)
    in_this_process = transport.endswith("in-process")
    arguments = _arguments(endpoint_url="http://personalize.invalid" if in_this_process else url)
    if transport.startswith("boto3"):
        core = botocore.session.Session()
        if in_this_process:
            in_process.register(core, root=str(root), environment={})
        session = boto3.session.Session(botocore_session=core)
        return _boto3_caller(lambda endpoint: session.client(endpoint, **arguments))
    aio = aiobotocore.session.AioSession()
    if in_this_process:
        in_process_async.register(aio, root=str(root), environment={})
    return _aiobotocore_caller(lambda endpoint: aio.create_client(endpoint, **arguments), stack)
