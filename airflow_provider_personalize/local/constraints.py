"""A request that the service's model refuses is answered as the service would."""

from __future__ import annotations

from typing import Any

from botocore.model import OperationModel

from airflow_provider_personalize.local.errors import InvalidInput, MalformedRequest
from airflow_provider_personalize.service_model import Violation, violations


def check(operation: OperationModel, request: object) -> dict[str, Any]:
    """Return ``request`` without its null members; raise what the service would answer when the model refuses it."""
    if not isinstance(request, dict):
        raise MalformedRequest("The request body must be a JSON object.")
    if operation.input_shape is None:
        return {}
    cleaned: dict[str, Any] = _without_nulls(request)
    found = list(violations(operation.input_shape, cleaned))
    for violation in found:
        if violation.wrong_type:
            raise MalformedRequest(f"{violation.path} must {violation.rule}.")
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        raise InvalidInput(count + "; ".join(map(_said, found)))
    return cleaned


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    return value


def _said(violation: Violation) -> str:
    if violation.value is None:
        return f"Value null at '{violation.path}' failed to satisfy constraint: Member must {violation.rule}"
    shown = "***" if violation.sensitive else violation.value
    return f"Value '{shown}' at '{violation.path}' failed to satisfy constraint: Member must {violation.rule}"
