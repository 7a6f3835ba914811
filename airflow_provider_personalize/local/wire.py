"""AWS JSON 1.1 in, AWS JSON 1.1 out: what every transport calls.

A request is its ``X-Amz-Target`` and its body; an answer is status, headers and body. Nothing here knows how they
travelled.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
from botocore.model import OperationNotFoundError

from airflow_provider_personalize.local import constraints
from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.errors import (
    MalformedRequest,
    OperationNotBuilt,
    ServiceError,
    UnknownOperation,
)
from airflow_provider_personalize.local.service import OPERATIONS, Call

TARGET_PREFIX = "AmazonPersonalize."
CONTENT_TYPE = "application/x-amz-json-1.1"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def handle(backend: Backend, target: str, body: bytes, *, region: str) -> Answer:
    """Answer one request; never raises, since a stack trace is no answer."""
    try:
        return _answer(200, _call(backend, target, body, region))
    except ServiceError as error:
        return _answer(error.status, {"__type": error.code, "message": str(error)})
    except Exception as error:
        log.exception("%s failed", target)
        reason = f"The local backend failed at {target}: {type(error).__name__}: {error}"
        return _answer(500, {"__type": "InternalFailure", "message": reason})


def _call(backend: Backend, target: str, body: bytes, region: str) -> dict[str, Any]:
    name = target.removeprefix(TARGET_PREFIX)
    if name == target:
        raise UnknownOperation(f"X-Amz-Target must read {TARGET_PREFIX}<Operation>, not {target!r}.")
    try:
        operation = constraints.service_model().operation_model(name)
    except OperationNotFoundError:
        raise UnknownOperation(f"Amazon Personalize has no operation {name!r}.") from None
    try:
        request = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"The request body is not JSON: {error}.") from None
    checked = constraints.check(operation, request)
    if name not in OPERATIONS:
        raise OperationNotBuilt(f"The local backend does not answer {name}: see docs/differences-from-aws.md.")
    return OPERATIONS[name](Call(backend, region), checked)


def _answer(status: int, payload: dict[str, Any]) -> Answer:
    body = orjson.dumps(payload)
    return Answer(status, {"content-type": CONTENT_TYPE, "x-amzn-requestid": str(uuid.uuid4())}, body)
