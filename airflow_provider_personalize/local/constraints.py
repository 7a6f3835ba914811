"""What botocore's model of the service demands of a request.

boto3 checks required members, types and lower bounds before it sends; upper bounds, patterns and enums leave the
client unchecked and are refused by the service. Here the same model checks everything, so that a wrong request fails
on a laptop as it would on AWS.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import regex
from botocore.model import OperationModel, ServiceModel, Shape

from airflow_provider_personalize.local.errors import InvalidInput, MalformedRequest

# Locations may also be on this machine's disk, an extension of ours (docs/differences-from-aws.md).
LOCATION_SHAPE = "S3Location"
LOCAL_LOCATION = regex.compile(r"file:///.+")

CONTROL_PLANE = "personalize"
BY_PATH = ("personalize-events", "personalize-runtime")
ENDPOINTS = (CONTROL_PLANE, *BY_PATH)

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
}


@cache
def service_model(endpoint: str = CONTROL_PLANE) -> ServiceModel:
    """Botocore's model of one of the service's endpoints; loading it takes tens of milliseconds, so once a process."""
    return botocore.session.Session().get_service_model(endpoint)


@cache
def operation_at(path: str) -> OperationModel | None:
    """The operation of the events or the runtime endpoint that is addressed by a path; each has one of its own."""
    for endpoint in BY_PATH:
        model = service_model(endpoint)
        for operation in map(model.operation_model, model.operation_names):
            if operation.http["requestUri"] == path:
                return operation
    return None


def check(operation: OperationModel, request: object) -> dict[str, Any]:
    """Return ``request`` without its null members; raise what the service would answer when the model refuses it."""
    if not isinstance(request, dict):
        raise MalformedRequest("The request body must be a JSON object.")
    if operation.input_shape is None:
        return {}
    cleaned: dict[str, Any] = _without_nulls(request)
    violations = list(_violations(operation.input_shape, cleaned, ""))
    if violations:
        count = f"{len(violations)} validation error{'s' if len(violations) > 1 else ''} detected: "
        raise InvalidInput(count + "; ".join(violations))
    return cleaned


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    return value


def _violations(shape: Shape, given: object, path: str) -> Iterator[str]:
    kind = shape.type_name
    wrong_bool = isinstance(given, bool) and kind != "boolean"
    if wrong_bool or not isinstance(given, JSON_TYPES[kind]):
        raise MalformedRequest(f"{path or 'request'} must be a JSON {kind}, not {type(given).__name__}.")
    value: Any = given
    yield from _bounds(shape, value, path)
    if kind == "structure":
        yield from _members(shape, value, path)
    elif kind == "map":
        for key, member in value.items():
            yield from _violations(shape.key, key, f"{path}.key")
            yield from _violations(shape.value, member, f"{path}.{key}")
    elif kind == "list":
        for position, member in enumerate(value, start=1):
            yield from _violations(shape.member, member, f"{path}.{position}.member")


def _members(shape: Shape, value: dict[str, Any], path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            yield f"Value null at '{prefix}{name}' failed to satisfy constraint: Member must not be null"
    for name, member in value.items():
        # A member that the model does not know is ignored, as AWS does.
        if name in shape.members:
            yield from _violations(shape.members[name], member, f"{prefix}{name}")


def _bounds(shape: Shape, value: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    shown = "***" if shape.metadata.get("sensitive") else value
    failed = f"Value '{shown}' at '{path}' failed to satisfy constraint: Member must "
    sized = isinstance(value, (str, list, dict))
    measure = len(value) if sized else value
    what = "have length" if sized else "have value"
    if "min" in limits and measure < limits["min"]:
        yield f"{failed}{what} greater than or equal to {limits['min']}"
    if "max" in limits and measure > limits["max"]:
        yield f"{failed}{what} less than or equal to {limits['max']}"
    if "enum" in limits and value not in limits["enum"]:
        yield f"{failed}satisfy enum value set: [{', '.join(limits['enum'])}]"
    if "pattern" in limits and not _matches(shape, value):
        yield f"{failed}satisfy regular expression pattern: {limits['pattern']}"


def _matches(shape: Shape, value: str) -> bool:
    if shape.name == LOCATION_SHAPE and LOCAL_LOCATION.fullmatch(value):
        return True
    # The model's patterns are Java's (`\p{L}`), which the standard library cannot compile, and mean the whole string.
    return _pattern(shape.metadata["pattern"]).fullmatch(value) is not None


@cache
def _pattern(text: str) -> regex.Pattern[str]:
    return regex.compile(text)
