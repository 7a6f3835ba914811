"""Bytes in, bytes out: what every transport calls.

The control plane speaks AWS JSON 1.1 (everything at ``/``, the operation in ``X-Amz-Target``); events and runtime speak
AWS's REST JSON, where the path names the operation. An answer is status, headers and body. Nothing here knows how they
travelled.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
from botocore.model import OperationModel, OperationNotFoundError

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.constraints import check
from airflow_provider_personalize.local.errors import (
    MalformedRequest,
    OperationNotBuilt,
    ServiceError,
    UnknownOperation,
)
from airflow_provider_personalize.local.progress import told
from airflow_provider_personalize.local.service import OPERATIONS, REFUSED, Call
from airflow_provider_personalize.local.store import IN_PROGRESS
from airflow_provider_personalize.service_model import PROGRESS_HEADER, operation_at, service_model

TARGET_PREFIX = "AmazonPersonalize."
CONTENT_TYPES = {"json": "application/x-amz-json-1.1", "rest-json": "application/json"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def handle(backend: Backend, target: str, body: bytes, *, region: str, path: str = "/") -> Answer:
    """Answer one request; never raises, since a stack trace is no answer."""
    operation: OperationModel | None = None
    try:
        operation = _operation(target, path)
        request = _request(operation, body)
        payload = _call(backend, operation, request, region)
        answer = _answer(operation, 200, payload)
        if progress := _progress(backend, operation, request, payload):
            answer.headers[PROGRESS_HEADER] = progress
        return answer
    except ServiceError as error:
        return _refusal(operation, _status(operation, error), error.code, str(error))
    except Exception as error:
        name = operation.name if operation else target or path
        log.exception("%s failed", name)
        reason = f"The local backend failed at {name}: {type(error).__name__}: {error}"
        return _refusal(operation, 500, "InternalFailure", reason)


def _operation(target: str, path: str) -> OperationModel:
    if path != "/":
        operation = operation_at(path)
        if operation is None:
            raise UnknownOperation(f"Amazon Personalize has no operation at {path!r}.")
        return operation
    name = target.removeprefix(TARGET_PREFIX)
    if name == target:
        raise UnknownOperation(f"X-Amz-Target must read {TARGET_PREFIX}<Operation>, not {target!r}.")
    try:
        return service_model().operation_model(name)
    except OperationNotFoundError:
        raise UnknownOperation(f"Amazon Personalize has no operation {name!r}.") from None


def _request(operation: OperationModel, body: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"The request body is not JSON: {error}.") from None
    return check(operation, request)


def _call(backend: Backend, operation: OperationModel, request: dict[str, Any], region: str) -> dict[str, Any]:
    if operation.name not in OPERATIONS:
        reason = REFUSED.get(operation.name, "see docs/operations.md")
        raise OperationNotBuilt(f"The local backend does not answer {operation.name}: {reason}.")
    return OPERATIONS[operation.name](Call(backend, region), request)


def _progress(backend: Backend, operation: OperationModel, request: dict[str, Any], payload: dict[str, Any]) -> str:
    """How far a runner is with what was described; empty where none is at work."""
    if not operation.name.startswith("Describe"):
        return ""
    assert operation.input_shape is not None
    [member], [described] = operation.input_shape.members, payload.values()
    arn = request[member]
    return told(backend.store.progress(arn)) if described.get("status") == IN_PROGRESS else ""


def _status(operation: OperationModel | None, error: ServiceError) -> int:
    """The status that the operation's model gives this error; not found is 404 at the runtime and 400 elsewhere."""
    for shape in operation.error_shapes if operation else ():
        if shape.name == error.code:
            return int(shape.metadata.get("error", {}).get("httpStatusCode", error.status))
    return error.status


def _refusal(operation: OperationModel | None, status: int, code: str, message: str) -> Answer:
    answer = _answer(operation, status, {"__type": code, "message": message})
    answer.headers["x-amzn-errortype"] = code
    return answer


def _answer(operation: OperationModel | None, status: int, payload: dict[str, Any]) -> Answer:
    protocol = operation.service_model.metadata["protocol"] if operation else "json"
    headers = {"content-type": CONTENT_TYPES[protocol], "x-amzn-requestid": str(uuid.uuid4())}
    return Answer(status, headers, orjson.dumps(payload))
